resource "value" "user" {
  for_each = toset(["ana", "bo"])
  count    = 2
  input    = each.value
}
