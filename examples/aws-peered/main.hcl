# A cluster on AWS that only a network of yours reaches: its own network is peered with that of the machine that runs this.

variable "client_vpc" {
  type        = string
  description = "Your network. Without it that of this machine, which then must be one of AWS."
  default     = null
}

provider "aws" {
  region = "us-west-2"
}

workspace "example" {
  network {
    mode          = "peered"
    client_vpc    = var.client_vpc
    client_access = "ssh" # what your network may reach: "none", "ssh" or "all"
  }
}

cluster "demo" {
  workspace = workspace.example

  head {}
}

output "head" {
  value = cluster.demo.head.private_ip
}
