provider "local" {}

workspace "lab" {}

cluster "etl" {
  workspace = workspace.lab
  head {
    disk_gib = "100GB"
  }
}
