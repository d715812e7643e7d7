provider "local" {}

workspace "lab" {}

cluster "etl" {
  workspace = workspace.lab
  head {}
  runtime "nginx" {
    prot = 8080
  }
}
