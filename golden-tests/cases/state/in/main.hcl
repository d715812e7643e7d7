resource "sim_token" "t" {
  for_each = toset(["a", "b"])
  size     = 2
}
resource "value" "v" {
  input = sim_token.t["a"].size
}
provider "sim" {}
