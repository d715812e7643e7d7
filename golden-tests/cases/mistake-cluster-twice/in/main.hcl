provider "local" {}

workspace "lab" {}

cluster "etl" {
  workspace = workspace.lab
  head {}
}

cluster "etl" {
  workspace = workspace.lab
  head {}
}
