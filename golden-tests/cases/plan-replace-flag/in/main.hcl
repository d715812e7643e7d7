resource "value" "a" {
  input = 1
}
resource "value" "b" {
  count = 2
}
