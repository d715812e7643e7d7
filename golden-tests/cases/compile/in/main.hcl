resource "value" "a" {
  input = { late = sim_token.t.address, text = "x" }
}
resource "sim_token" "t" {}
provider "sim" {}
