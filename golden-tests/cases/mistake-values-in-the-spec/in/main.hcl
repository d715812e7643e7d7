region = "us-west-2"

workspace "lab" {}
