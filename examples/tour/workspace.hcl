# What clusters share.

workspace "lab" {
  provider = sim
  tags     = { team = var.team.name }

  network {
    mode = "public-head"
  }

  firewall {
    ssh_from = ["192.0.2.0/24"]

    # A block for each element.
    dynamic "ingress" {
      for_each = { page = "80", metrics = "9090-9100" }
      labels   = [ingress.key]
      content {
        ports = [ingress.value]
        from  = ["10.0.0.0/8"]
      }
    }
  }

  storage "default" {
    on_destroy = "delete"
    lifecycle { ignore_changes = [tags] }
  }

  lifecycle {
    precondition {
      condition     = length(var.team.name) > 0
      error_message = "A workspace belongs to a team."
    }
    postcondition {
      condition     = self.name == "lab"
      error_message = "It is called ${self.name}."
    }
  }
}
