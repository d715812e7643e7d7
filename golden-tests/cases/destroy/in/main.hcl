resource "sim_token" "a" {}
resource "sim_tagged" "b" {
  ref = sim_token.a.address
}
resource "value" "c" {
  input = sim_tagged.b.address
}
output "o" {
  value = value.c.output
}
provider "sim" {}
