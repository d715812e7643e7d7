provider "sim" { root = "../world" }

import {
  to = sim_named.shared
  id = "named-99"
}

import {
  to = workspace.x
  id = "x"
}

resource "sim_named" "shared" {
  name = "shared"
}

workspace "x" {}
