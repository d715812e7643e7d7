resource "value" "one" {
  for_each = { a = 1, b = 2 }
  input    = "${each.key}=${each.value}"
}
resource "value" "two" {
  count = 2
  input = value.one["a"].output
}
output "all" {
  value = { for key, one in value.one : key => one.output }
}
output "splat" {
  value = value.two[*].output
}
