provider "aws" {
  region = "us-west-2"
}

provider "local" {}

workspace "lab" {}
