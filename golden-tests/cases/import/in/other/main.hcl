provider "sim" { root = "../world" }

import {
  to = sim_named.shared
  id = "named-2"
}

import {
  to = sim_named.again
  id = "named-2"
}

resource "sim_named" "shared" {
  name = "another"
  size = 7
}

resource "sim_named" "again" {
  name = "shared"
}
