variable "prod" {
  default = true
}

output "n" {
  value = var.prod ? 3
}
