variable "unused" {
  default = 1
}
resource "value" "a" {
  inptu = "x"
}
resource "value" "b" {
  input = "ä${var.nothing}"
}
locals {
  a = 1
}
