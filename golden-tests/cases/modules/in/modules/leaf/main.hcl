variable "text" {
  type = string
  validation {
    condition     = var.text != ""
    error_message = "There is no text."
  }
}

variable "secret" {
  sensitive = true
  default   = null
}

resource "value" "v" { input = var.text }

check "told" {
  assert {
    condition     = value.v.id != ""
    error_message = "It has no id."
  }
}

output "id" { value = value.v.id }
output "text" { value = value.v.input }
