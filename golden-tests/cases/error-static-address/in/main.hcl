provider "local" {}
workspace "w" {}
cluster "c" {
  workspace = workspace.w
  head {
    public_ip = "static"
  }
}
