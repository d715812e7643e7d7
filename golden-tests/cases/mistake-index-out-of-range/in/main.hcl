variable "zones" {
  default = ["a", "b"]
}

output "z" {
  value = var.zones[2]
}
