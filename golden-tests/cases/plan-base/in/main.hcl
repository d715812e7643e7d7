variable "region" {
  type    = string
  default = "south"
}
resource "sim_token" "t" {
  zone = "z2"
  note = "in ${var.region}"
}
resource "sim_token" "kept" {
  note = "same"
}
resource "value" "refers" {
  input = [sim_token.t.address, sim_token.kept.address]
}
resource "value" "added" {
  input = {
    text = <<-EOT
      a <b>bold</b> *line*
      ```
      @someone #1
    EOT
  }
}
resource "value" "secret" {
  input = sensitive("after")
}
output "address" {
  value = sim_token.t.address
}
check "note" {
  assert {
    condition     = length(var.region) > 9
    error_message = "<script> *must* be @longer"
  }
}
provider "sim" {}
