# A cluster on AWS inside a network that is there already. Nothing of it is changed: the workspace has subnets and tables of routes of its own
# in it, in ranges that are free.

variable "vpc" {
  type        = string
  description = "The network. Without it that of this machine, which then must be one of AWS."
  default     = null
}

provider "aws" {
  region = "us-west-2"
}

workspace "example" {
  network {
    mode       = "shared"
    client_vpc = var.vpc

    # To use subnets that are there as well, and make none:
    # subnets = { public = [], private = ["subnet-0123456789abcdef0"] }
  }
}

cluster "demo" {
  workspace = workspace.example

  head {}
}

output "head" {
  value = cluster.demo.head.private_ip
}
