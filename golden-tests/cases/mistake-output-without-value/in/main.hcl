output "n" {
}
