provider "sim" { root = "../world" }

resource "sim_named" "shared" {
  name = "shared"
  size = 7
  tags = { team = "platform" }
}

resource "sim_tagged" "loose" {
  size = 2
}

workspace "w" {
  storage "default" {}
}
