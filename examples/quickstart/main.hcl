# A cluster on this machine: a head, three workers that keep keys and values in a quorum of etcd, and nginx on the head as the way in.
#
#   cloudtik plan      shows what will be made
#   cloudtik apply     makes the head; its controller makes the workers
#   cloudtik status    shows how things stand
#   cloudtik destroy   removes everything

variable "port" {
  type        = number
  default     = 8080
  description = "The port of this machine that leads to etcd, through nginx."
}

variable "workers" {
  type        = number
  default     = 3
  description = "Members of the quorum; an odd number survives most."
}

provider "local" {}

workspace "demo" {}

cluster "quickstart" {
  workspace = workspace.demo

  head {
    local {
      publish = { (var.port) = 8080 }
    }
  }

  workers "store" {
    min = var.workers
    max = 5
  }

  runtime "etcd" {}

  runtime "nginx" {
    port  = 8080
    proxy = { "/" = "backend" }
    discover "backend" {
      services = ["etcd"]
    }
  }
}

output "store" {
  value       = "http://127.0.0.1:${var.port}"
  description = "Where etcd answers; `/health` says how it is."
}
