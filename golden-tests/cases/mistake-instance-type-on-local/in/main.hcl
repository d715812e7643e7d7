provider "local" {}

workspace "lab" {}

cluster "etl" {
  workspace = workspace.lab
  head {
    instance_type = "m5.xlarge"
  }
}
