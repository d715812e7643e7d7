variable "size" {
  default = 1
}
locals {
  a = var.sice
  b = local.bb
  c = value.nothing.output
  d = value.there.outptu
  e = nothing.at.all
  f = value.many.output
  g = value.many[7].output
}
resource "value" "there" {}
resource "value" "many" {
  count = 2
}
output "o" {
  value = [local.a, local.b, local.c, local.d, local.e, local.f, local.g]
}
