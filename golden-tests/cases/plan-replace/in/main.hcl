resource "sim_token" "a" {
  zone = "z1"
}
resource "sim_token" "b" {
  zone = "z1"
  lifecycle {
    create_before_destroy = true
  }
}
resource "value" "of_a" {
  input            = sim_token.a.address
  triggers_replace = 1
}
provider "sim" {}
