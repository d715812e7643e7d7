locals {
  team = "data"
}

output "team" {
  value = locals.team
}
