resource "value" "a" {
  for_each = toset(["x y", "ü", "a.b[0]"])
  input    = each.key
}
