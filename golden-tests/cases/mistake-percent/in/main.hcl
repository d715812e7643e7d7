provider "local" {}

workspace "lab" {}

cluster "etl" {
  workspace = workspace.lab
  head {}
  rollout {
    max_unavailable = 10%
  }
}
