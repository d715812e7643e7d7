variable "n" {
  type = numbr
}
resource "value" "a" {
  input = upprer("x")
}
resource "value" "b" {
  input = 1 / 0
}
resource "value" "c" {
  input = var.m
}
