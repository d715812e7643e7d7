variable "a" {
  default = true
}

output "x" {
  value = var.a and true
}
output "y" {
  value = not var.a
}
