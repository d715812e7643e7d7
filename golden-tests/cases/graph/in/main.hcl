resource "value" "a" {
  for_each = toset(["x", "say \"y\""])
  input    = value.b.output
}
resource "value" "b" {
  depends_on = [value.c]
}
resource "value" "c" {}
