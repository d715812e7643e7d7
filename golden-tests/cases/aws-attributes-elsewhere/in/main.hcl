provider "aws" {}
workspace "w" {
  network {
    zones     = 3
    nat       = "per-zone"
    endpoints = ["s3"]
  }
  identity {
    head_policies = ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
  }
  storage "default" {
    versioning = false
  }
}
cluster "c" {
  workspace = workspace.w
  head {
    instance_type = "m5.large"
    disk_gib      = 50
    zones         = ["us-west-2a"]
    aws {
      key_name = "mine"
    }
  }
}
