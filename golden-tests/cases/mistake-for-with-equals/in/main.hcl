output "m" {
  value = { for k, v in { a = 1 } : k = v }
}
