resource "value" "a" {
  input = 1

resource "value" "b" {
  input = 2
}
