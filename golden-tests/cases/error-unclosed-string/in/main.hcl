resource "value" "a" {
  input = "open
}
resource "value" "b" {
  inpt = 1
}
