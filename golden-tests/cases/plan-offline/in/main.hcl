resource "sim_token" "t" {}
output "address" {
  value = sim_token.t.address
}
provider "sim" {}
