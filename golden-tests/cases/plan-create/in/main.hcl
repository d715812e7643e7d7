resource "value" "text" {
  input = <<-EOT
    line one
    line two
  EOT
}
resource "value" "nested" {
  input = {
    list  = [1, 2.50, true, null]
    map   = { a = "b" }
    from  = value.text.output
  }
}
resource "sim_token" "t" {
  size = 3
  tags = { owner = "ana" }
}
output "address" {
  value = sim_token.t.address
}
provider "sim" {}
