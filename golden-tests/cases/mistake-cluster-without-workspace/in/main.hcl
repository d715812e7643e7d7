provider "local" {}

workspace "lab" {}

cluster "etl" {
  head {}
}
