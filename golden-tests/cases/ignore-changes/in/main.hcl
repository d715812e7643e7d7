resource "sim_token" "some" {
  size = 1
  tags = { owner = "ana", team = "a" }
  lifecycle {
    ignore_changes = [size, tags.owner]
  }
}
resource "sim_token" "all" {
  size = 1
  lifecycle {
    ignore_changes = all
  }
}
provider "sim" {}
