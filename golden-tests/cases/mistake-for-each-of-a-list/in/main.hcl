resource "value" "user" {
  for_each = ["ana", "bo"]
  input    = each.value
}
