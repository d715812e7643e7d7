provider "sim" {}

variable "token" {
  type      = string
  default   = "hunter2"
  sensitive = true
}

variable "team" {
  type    = string
  default = "data"
}

workspace "w" {
  from = template.network
  tags = { owner = "ana" }
  network {
    zones = concat(inherited.zones, ["x"])
  }
  storage "default" {
    versioning = false
  }
  storage "logs" {
    enabled = false
  }
}

cluster "etl" {
  from      = [template.base, template.logged]
  workspace = workspace.w
  tags      = { team = null, name = "${inherited.tags.team}-etl" }
  head {
    memory_gib = inherited.cpus * 4
  }
  workers "default" {
    max = 5
    env = null
  }
  workers "gpu" {
    enabled = false
  }
  firewall {
    ingress "ui" {
      ports = concat(inherited.ports, ["443"])
    }
  }
  setup {
    on_start = ["echo own"]
  }
  lifecycle {
    ignore_changes = concat(inherited.ignore_changes, [head.cpus])
  }
}

# The names in a template are those of the block that inherits.
cluster "many" {
  for_each  = toset(["a", "b"])
  workspace = workspace.w
  from      = template.keyed
  dynamic "workers" {
    for_each = { default = 3 }
    labels   = [workers.key]
    content {
      max  = inherited.max + workers.value
      tags = { made = workers.key }
    }
  }
}

cluster "plain" {
  workspace = workspace.w
  head {
    env = { LONG = join(" ", ["one", "two"]), LATE = node.address }
  }
}
