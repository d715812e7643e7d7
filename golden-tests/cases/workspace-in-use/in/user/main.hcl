provider "sim" { root = "../world" }
workspace "w" {}
cluster "etl" {
  workspace = workspace.w
  head {}
}
