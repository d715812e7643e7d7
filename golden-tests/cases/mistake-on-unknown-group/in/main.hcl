provider "local" {}

workspace "lab" {}

cluster "etl" {
  workspace = workspace.lab
  head {}
  workers "a" {
  }
  runtime "nginx" {
    on = ["worker"]
  }
}
