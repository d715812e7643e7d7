provider "sim" { root = "../world" }

resource "sim_named" "shared" {
  name = "shared"
  size = 7
  tags = { team = "platform" }
}

resource "sim_tagged" "a" {
  tags = { team = "platform", part = "a" }
}

resource "sim_tagged" "b" {
  tags = { team = "platform", part = "b" }
}
