resource "sim_token" "a" {}
provider "sim" {}
