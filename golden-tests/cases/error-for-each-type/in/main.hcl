resource "value" "a" {
  for_each = ["x", "y"]
}
resource "value" "b" {
  for_each = toset([1, 2])
  count    = 2
}
resource "value" "c" {
  input = each.key
}
