# A token with a name: made once for each call.

variable "owner" {
  type = string
}

resource "sim_token" "own" {
  size = length(var.owner)
  tags = { owner = var.owner }
}

output "id" {
  value       = sim_token.own.id
  description = "The token."
}
