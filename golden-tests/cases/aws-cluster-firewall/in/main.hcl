provider "aws" {
  region = "us-west-2"
}

workspace "w" {
  firewall {
    ssh_from = ["203.0.113.0/24"]
  }
}

workspace "closed" {
  firewall {
    egress "web" {
      ports = ["443"]
      to    = ["0.0.0.0/0"]
    }
  }
}

cluster "c" {
  workspace = workspace.closed
  firewall {
    ssh_from = ["203.0.113.7/32"]
    ingress "data" {
      ports = ["9000-9010"]
      from  = ["10.0.0.0/8"]
      to    = "workers"
    }
    egress "mail" {
      ports = ["25"]
      to    = ["10.9.0.0/16"]
      from  = "workers"
    }
  }
  head {}
}

cluster "open" {
  workspace = workspace.w
  firewall {
    inside = "all"
    ingress "ui" {
      ports = ["8080"]
      from  = ["10.0.0.0/8"]
      to    = "everybody"
    }
  }
  head {}
}

cluster "shut" {
  workspace = workspace.w
  firewall {
    egress "web" {
      ports = ["443"]
      to    = ["0.0.0.0/0"]
    }
  }
  head {}
}
