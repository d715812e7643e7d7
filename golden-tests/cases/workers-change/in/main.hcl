provider "sim" {}

workspace "w" {}

variable "least" {
  type    = number
  default = 2
}

cluster "c" {
  workspace = workspace.w
  head {}
  workers "web" {
    min = var.least
    max = 4
  }
  workers "batch" {
    min      = 1
    runtimes = []
  }
  runtime "site" {
    source = "./site"
    on     = ["workers.web"]
  }
}
