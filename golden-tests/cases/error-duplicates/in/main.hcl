variable "a" {}
variable "a" {
  default = 2
}
resource "value" "r" {
  input = 1
  input = 2
}
locals {
  l = 1
}
