# Inputs, and names for what is worked out from them.

variable "stage" {
  type        = string
  default     = "test"
  description = "Which environment this is. `cloudtik plan --var stage=production` gives another."
  nullable    = false
  validation {
    condition     = contains(["test", "production"], var.stage)
    error_message = "The stage is test or production, not ${var.stage}."
  }
}

variable "team" {
  type = object({
    name    = string
    members = optional(map(string), {})
  })
  description = "The values are in tour.auto.vars.hcl."
}

variable "adopted" {
  type        = map(string)
  default     = {}
  description = "Ids, by name, of what is there already and belongs to this project from now on."
}

variable "token" {
  type        = string
  default     = "open sesame"
  sensitive   = true
  description = "A secret: no plan shows it, and the state holds it encrypted."
}

locals {
  workers = var.stage == "production" ? 5 : 2
  members = { for name, key in var.team.members : name => upper(key) if key != "" }
}
