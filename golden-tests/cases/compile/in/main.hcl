variable "secret" {
  default   = "hidden-text"
  sensitive = true
}
resource "value" "a" {
  input = { late = sim_token.t.address, secret = var.secret }
}
resource "sim_token" "t" {}
provider "sim" {}
