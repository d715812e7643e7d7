provider "local" {}
workspace "w" {}
