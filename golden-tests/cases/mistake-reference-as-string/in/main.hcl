provider "local" {}

workspace "lab" {}

cluster "etl" {
  workspace = "lab"
  head {}
}
