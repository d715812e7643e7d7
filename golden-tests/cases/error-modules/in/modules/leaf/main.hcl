provider "sim" {}

variable "text" { type = string }

resource "value" "v" {
  input = var.text
  nope  = 1
}
