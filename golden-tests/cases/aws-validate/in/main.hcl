provider "aws" {
  region       = "us-west-2"
  default_tags = { "cloudtik:x" = "y" }
  assume_role {
    session_name = "s"
  }
}
workspace "w" {
  network {
    cidr       = "10.0.0.0/8"
    zones      = ["eu-west-1a"]
    client_vpc = "vpc-1"
    endpoints  = ["S3"]
  }
  firewall {
    inside = "declared"
    ingress "ssh" {
      ports = ["22"]
      from  = ["10.0.0.0/8"]
    }
    ingress "again" {
      ports = ["22"]
      from  = ["10.0.0.0/8"]
    }
  }
  identity {
    workers = "theirs"
  }
  storage "a-label-that-is-much-too-long-for-a-bucket" {
    encrypted = false
  }
}
workspace "v" {
  network {
    mode    = "shared"
    cidr    = "10.0.0.0/16"
    subnets = { public = [], private = [] }
  }
}
cluster "c" {
  workspace = workspace.w
  head {
    cpus      = 2
    image     = "ubuntu"
    public_ip = "static"
  }
  workers "g" {
    instance_type  = "m5.large"
    instance_types = ["m5.large"]
  }
}
