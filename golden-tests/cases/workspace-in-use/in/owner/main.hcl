provider "sim" { root = "../world" }
workspace "w" {}
