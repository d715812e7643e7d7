resource "value" "a" {
  input = 1
}
resource "value" "b" {
  input = value.a.output
}
output "gone" {
  value = value.b.output
}
