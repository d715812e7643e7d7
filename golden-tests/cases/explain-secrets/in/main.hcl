variable "password" {
  sensitive = true
  default   = "in the spec one"
}

locals {
  token = sensitive("written one")
}

resource "value" "v" { input = local.token }

resource "value" "w" { input = "x-${var.password}" }
