variable "password" {
  default   = "very-secret-1"
  sensitive = true
}
resource "sim_token" "t" {
  count  = 1
  size   = 2
  secret = var.password
}
output "password" {
  value     = var.password
  sensitive = true
}
output "id" {
  value = sim_token.t[0].id
}
provider "sim" {}
