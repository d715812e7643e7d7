variable "id" {}

module "inner" {
  source = "../leaf"
  text   = "in ${path.module}: ${var.id}"
}

resource "value" "note" { input = var.id }

output "text" { value = module.inner.text }
