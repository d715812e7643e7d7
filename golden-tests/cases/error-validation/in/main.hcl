variable "size" {
  default = 11
  validation {
    condition     = var.size <= 10
    error_message = "The size is at most 10, not ${var.size}."
  }
}
output "size" {
  value = var.size
  precondition {
    condition     = var.size > 20
    error_message = "Too small."
  }
}
