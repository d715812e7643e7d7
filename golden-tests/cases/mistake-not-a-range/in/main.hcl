provider "aws" {
  region = "us-west-2"
}

workspace "lab" {
  network {
    cidr = "10.0.0.1"
  }
}
