variable "size" {
  type        = number
  description = "How large it is."
}
output "size" {
  value = var.size
}
