provider "aws" {
  region = "us-west-2"
}

workspace "main" {}

template "base" {
  workspace = workspace.main
  tags      = { team = "data", tier = "1" }
  workers "default" {
    max   = 3
    zones = ["us-west-2a"]
  }
}

cluster "etl" {
  from = [template.base, "large"]
  tags = { tier = null, owner = "ana" }
  workers "default" {
    zones = concat(inherited.zones, ["us-west-2b"])
  }
}

cluster "gpu" {
  from = [template.base, "aws/gpu/t4/small"]
  head {
    cpus = 2
  }
}
