provider "local" {}

workspace "lab" {}

cluster "etl" {
  workspace = workspace.lab
  head {}
  runtime "ngnix" {}
}
