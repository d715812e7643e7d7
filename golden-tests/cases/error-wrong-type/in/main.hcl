variable "n" {
  type    = number
  default = "many"
}
resource "sim_token" "t" {
  size = "large"
  tags = ["a"]
}
resource "value" "a" {
  count = "two"
  lifecycle {
    prevent_destroy = "perhaps"
  }
}
provider "sim" {}
