resource "sim_token" "t" {
  size = 3
  note = "first"
  tags = { owner = "ana", team = "a" }
}
resource "value" "v" {
  input = <<-EOT
    one
    two
    three
  EOT
}
provider "sim" {}
