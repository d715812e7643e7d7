resource "value" "a" {
  inptu = 1
}
resource "sim_token" "t" {
  sice = 2
}
provider "sim" {}
