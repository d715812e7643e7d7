output "x" {
  valu = 1
}
resource "value" "d" {
  input = "a" + 1
}
