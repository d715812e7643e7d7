# A cluster on AWS in a network of its own, whose head has a public address.
#
#   cloudtik plan --offline --var 'ssh_from=["203.0.113.7/32"]'    what is made, without asking AWS
#   cloudtik apply --var 'ssh_from=["203.0.113.7/32"]'             makes it; the credentials are those of the usual chain

variable "ssh_from" {
  type        = list(string)
  description = "Addresses that may reach SSH of the head: your own, as `203.0.113.7/32`."
}

provider "aws" {
  region       = "us-west-2"
  default_tags = { project = "example" }
}

workspace "example" {
  network {
    zones = 2        # a public and a private subnet in each
    nat   = "single" # one way out for both; "per-zone" keeps zones apart
  }
  firewall {
    ssh_from = var.ssh_from
  }
  storage "default" {
    on_destroy = "delete"
  }
}

cluster "demo" {
  workspace = workspace.example

  head {
    instance_type = "m5.xlarge"
  }

  workers "default" {
    instance_type = "m5.2xlarge"
    min           = 2
    max           = 4
  }
}

output "head" {
  value = cluster.demo.head.public_ip
}
output "bucket" {
  value = workspace.example.storage.default.uri
}
