provider "aws" {
  region = "us-west-2"
}

workspace "lab" {
  firewall {
    ingress "ui" {
      ports = 8080
      from  = "10.0.0.0/8"
    }
  }
}
