output "p" {
  value = "C:\Users\ana"
}
