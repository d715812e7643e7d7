variable "region" {
  type    = string
  default = "north"
}
resource "sim_token" "t" {
  zone = "z1"
  note = "in ${var.region}"
}
resource "sim_token" "kept" {
  note = "same"
}
resource "value" "refers" {
  input = [sim_token.t.address, sim_token.kept.address]
}
resource "value" "gone" {
  input = "gone"
}
resource "value" "secret" {
  input = sensitive("before")
}
output "address" {
  value = sim_token.t.address
}
provider "sim" {}
