variable "team" {
  default = "data"
}

output "name" {
  value = var.team + "-lab"
}
