provider "local" {}

workspace "my_lab" {}
