variable "a" { default = "default" }
variable "b" { default = "default" }
variable "c" { default = "default" }
variable "d" { default = "default" }
variable "e" { default = "default" }
variable "l" {
  type    = list(number)
  default = []
}
output "all" {
  value = "a=${var.a} b=${var.b} c=${var.c} d=${var.d} e=${var.e} l=${join("+", var.l)}"
}
