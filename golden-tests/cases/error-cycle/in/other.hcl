resource "value" "y" {
  input = value.x.output
}
