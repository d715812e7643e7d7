variable "token" {
  type      = string
  sensitive = true
  default   = "s3cret"
}

output "token" {
  value = "t-${var.token}"
}
