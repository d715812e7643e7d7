# Resources by hand: kinds of a provider, and `value`, which only remembers.

resource "value" "release" {
  input            = var.stage
  triggers_replace = [var.team.name]
}

resource "sim_network" "side" {
  for_each = toset(["east", "west"])
  provider = sim.region[each.key]
  name     = "side-${each.key}"
  timeouts {
    create = "5m"
    update = "5m"
    delete = "10m"
  }
}

resource "sim_token" "spare" {
  count = 2
  size  = 8 + count.index

  lifecycle {
    create_before_destroy = true
    prevent_destroy       = var.stage == "production"
    ignore_changes        = [tags]
    replace_triggered_by  = [value.release]
    precondition {
      condition     = local.workers > 0
      error_message = "There are no workers."
    }
  }
}

# What somebody else made is taken over: an id for each, none by default. A plan shows it before anything is done.
resource "sim_natural" "adopted" {
  for_each = var.adopted
  name     = each.key
}

import {
  for_each = var.adopted
  to       = sim_natural.adopted[each.key]
  id       = each.value
}

# What somebody else made and keeps is looked up by every plan.
data "sim_named" "shared" {
  for_each = toset(var.stage == "production" ? ["registry"] : [])
  name     = each.key
}

# What was called otherwise stays what it is.
moved {
  from = sim_token.reserve
  to   = sim_token.spare
}

# What is no longer in the spec, and stays in the world.
removed {
  from = sim_network.old
  lifecycle {
    destroy = false
  }
}
