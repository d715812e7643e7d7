resource "value" "user" {
  input = each.key
}
