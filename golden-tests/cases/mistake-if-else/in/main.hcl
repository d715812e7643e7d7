variable "prod" {
  default = true
}

output "n" {
  value = if var.prod then 3 else 1
}
