locals {
  a = local.b
  b = local.c
  c = "${local.a}!"
}
resource "value" "x" {
  input = value.y.output
}
