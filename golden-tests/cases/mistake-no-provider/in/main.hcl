workspace "lab" {}
