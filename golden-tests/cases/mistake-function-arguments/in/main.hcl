output "n" {
  value = join(["a", "b"])
}
output "m" {
  value = upper("a", "b")
}
