provider "local" {}

workspace "lab" {}

cluster "etl" {
  workspace = workspace.lab
  head {}
  workers "default" {
    min = 5
    max = 3
  }
}
