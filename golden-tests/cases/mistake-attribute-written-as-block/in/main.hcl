provider "aws" {
  region = "us-west-2"
}

workspace "lab" {
  tags {
    team = "data"
  }
}
