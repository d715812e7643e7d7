output "n" {
  value = lenght(["a"])
}
