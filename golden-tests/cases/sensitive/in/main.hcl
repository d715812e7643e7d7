variable "password" {
  default   = "very-secret-1"
  sensitive = true
}
resource "sim_token" "t" {
  secret = var.password
  tags   = { plain = "a", hidden = "x-${var.password}" }
}
resource "value" "v" {
  input = { user = "ana", password = var.password }
}
output "password" {
  value     = var.password
  sensitive = true
}
output "user" {
  value = value.v.output.user
}
provider "sim" {}
