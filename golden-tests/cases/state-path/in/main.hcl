# Each environment has a state of its own; a saved plan goes to the one that it was made for.
variable "env" { type = string }

cloudtik {
  state "local" { path = "states/${var.env}.json" }
}

output "env" { value = var.env }
