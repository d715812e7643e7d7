resource "sim_token" "t" {
  zone = "z1"
  lifecycle {
    prevent_destroy = true
  }
}
provider "sim" {}
