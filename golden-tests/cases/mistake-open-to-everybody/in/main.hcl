provider "aws" {
  region = "us-west-2"
}

workspace "lab" {
  firewall {
    ssh_from = ["*"]
  }
}
