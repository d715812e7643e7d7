resource "sim_token" "t" {
  size = 2
}
resource "value" "v" {
  input = { of = sim_token.t.size, text = "a\nb" }
}
output "o" {
  value = value.v.output
}
provider "sim" {}
