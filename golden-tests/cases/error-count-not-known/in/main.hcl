resource "sim_token" "t" {}
resource "value" "v" {
  count = length(sim_token.t.address)
}
provider "sim" {}
