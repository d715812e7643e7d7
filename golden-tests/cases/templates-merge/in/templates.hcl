template "network" {
  tags = { team = var.team, owner = "bo" }
  network {
    zones = ["a", "b"]
    nat   = "none"
  }
  storage "default" {
    on_destroy = "delete"
  }
  storage "logs" {}
}

template "small-head" {
  head {
    cpus = 2
  }
}

template "base" {
  from = template.small-head
  tags = { team = var.team, tier = "1" }
  env  = { TOKEN = var.token }
  workers "default" {
    cpus = 4
    max  = 3
    env  = { A = "1" }
  }
  workers "gpu" {
    cpus = 8
  }
  firewall {
    ingress "ui" {
      ports = ["80"]
      from  = ["10.0.0.0/8"]
    }
  }
  lifecycle {
    ignore_changes = [tags]
    precondition {
      condition     = var.team != ""
      error_message = "there is a team"
    }
  }
}

template "logged" {
  env = { LEVEL = "info" }
  setup {
    before_runtimes = ["echo logged"]
    step "log" {
      phase = "on_start"
      run   = "echo log"
    }
  }
}

template "keyed" {
  name = "keyed-${each.key}"
  tags = { key = each.key }
  head {
    cpus = try(inherited.cpus, 1) + 1
  }
  dynamic "workers" {
    for_each = toset(["default", "other"])
    labels   = [workers.key]
    content {
      cpus = 1
      max  = 2
      tags = { template = workers.key }
    }
  }
}
