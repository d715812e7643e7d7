variable "unused" {
  default = 1
}
resource "value" "a" {
  inptu = "ä${var.nothing}"
}
