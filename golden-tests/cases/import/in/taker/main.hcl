provider "sim" { root = "../world" }

locals {
  ids = { loose = "tagged-3" }
}

import {
  to = sim_named.mine
  id = "named-2"
}

import {
  for_each = local.ids
  to       = sim_tagged.of[each.key]
  id       = each.value
}

resource "sim_named" "mine" {
  name = "shared"
  size = 8
  tags = { team = "data" }
}

resource "sim_tagged" "of" {
  for_each = toset(["loose"])
  size     = 2
}

resource "sim_token" "user" {
  note = sim_named.mine.id
}
