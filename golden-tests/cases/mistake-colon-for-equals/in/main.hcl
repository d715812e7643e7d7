provider "aws" {
  region = "us-west-2"
}

workspace "lab" {
  name: "lab"
}
