provider "local" {}

workspace "lab" {}

cluster "etl" {
  workspace = workspace.lab
  head {}
  workers {
    min = 2
  }
}
