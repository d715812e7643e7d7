resource "value" "r" {}
locals {
  l = 2
}
output "o" {
  value = 1
}
output "o" {
  value = 2
}
