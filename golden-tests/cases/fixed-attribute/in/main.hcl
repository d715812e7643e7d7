resource "sim_token" "t" {
  flavor = "a"
}
provider "sim" {}
