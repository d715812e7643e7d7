# A project whose pull requests show what they do, without credentials: the workflow in `.github/workflows/plan.yml`.
#
#   cloudtik plan --offline --base origin/main --unset-vars=unknown     what this branch does to the other one

variable "ssh_from" {
  type        = list(string)
  default     = ["203.0.113.0/24"]
  description = "Addresses that may reach SSH of the head."
}

# Whoever applies gives this one; a pull request need not know it.
variable "alarm_topic" {
  type      = string
  sensitive = true
}

locals {
  workers = { type = "m5.2xlarge", min = 2, max = 4 }
}

provider "aws" {
  region       = "us-west-2"
  default_tags = { project = "ci" }
}

workspace "ci" {
  network {
    zones = 2
    nat   = "single"
  }
  firewall {
    ssh_from = var.ssh_from
  }
  storage "results" {
    on_destroy = "delete"
  }
}

cluster "ci" {
  workspace = workspace.ci

  head {
    instance_type = "m5.xlarge"
  }

  workers "default" {
    instance_type = local.workers.type
    min           = local.workers.min
    max           = local.workers.max
  }
}

resource "value" "alarms" {
  input = { topic = var.alarm_topic, bucket = workspace.ci.storage.results.uri }
}
