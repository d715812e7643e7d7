output "n" {
  value = "a-${upper("b"}"
}
