# A workspace and a cluster on this machine: its head serves a page made from this file.
#
#   cloudtik plan      shows what will be made
#   cloudtik apply     makes it, and prints where the page is
#   cloudtik destroy   removes it

variable "greeting" {
  type        = string
  default     = "Hello from cloudtik"
  description = "What the page says."
}

variable "port" {
  type        = number
  default     = 8080
  description = "The port of this machine that leads to the page."
}

provider "local" {}

workspace "demo" {
  network {
    mode = "public-head"
  }
  firewall {
    ingress "page" {
      ports = [tostring(var.port)]
      from  = ["127.0.0.0/8"]
    }
  }
  storage "default" {
    on_destroy = "delete"
  }
}

cluster "web" {
  workspace = workspace.demo

  head {
    local {
      publish = { (var.port) = 8080 }
    }
  }

  runtime "nginx" {
    port = 8080
    pages = {
      "index.html" = <<-HTML
        <!doctype html>
        <title>${var.greeting}</title>
        <h1>${var.greeting}</h1>
        <p>Served by nginx on the head of cluster web, at ${node.address}.</p>
      HTML
    }
  }
}

output "page" {
  value       = "http://127.0.0.1:${var.port}/"
  description = "Where the page is."
}
