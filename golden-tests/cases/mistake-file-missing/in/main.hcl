locals {
  greeting = file("greetings/ana.txt")
}

output "greeting" {
  value = local.greeting
}
