output "name" {
  value = "a \"quoted\" name"
}
output "number" {
  value = 1.50
}
output "list" {
  value = [{ a = 1 }, { a = 2 }]
}
