provider "local" {}

workspace "Analytics" {}
