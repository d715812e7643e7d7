resource "value" "a" {
  input = <<-EOT
    text
}
