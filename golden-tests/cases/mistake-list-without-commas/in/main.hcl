provider "aws" {
  region = "us-west-2"
}

workspace "lab" {
  firewall {
    ssh_from = ["192.0.2.0/24" "198.51.100.0/24"]
  }
}
