# A cluster on AWS in a workspace that is one stack of CloudFormation.
#
#   cloudtik plan --offline                      what is made, without asking AWS
#   cloudtik apply                               makes it: the stack, then the cluster in it
#   cloudtik compile --emit cloudformation       the template alone, for whoever deploys it by other means

provider "aws" {
  region       = "us-west-2"
  default_tags = { project = "example" }
}

workspace "example" {
  deploy = "cloudformation" # "native" makes each part by a call of its own; what is made is the same

  firewall {
    ssh_from = ["203.0.113.7/32"] # your own address
  }
  storage "default" {} # it stays when the stack goes
}

cluster "demo" {
  workspace = workspace.example

  head {
    instance_type = "m5.xlarge"
  }
}

output "head" {
  value = cluster.demo.head.public_ip
}
output "bucket" {
  value = workspace.example.storage.default.uri
}
