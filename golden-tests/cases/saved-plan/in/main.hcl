variable "n" {
  default = 2
}
resource "value" "a" {
  count = var.n
  input = "number ${count.index}"
}
