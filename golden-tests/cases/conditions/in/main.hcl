variable "least" { type = number }

resource "value" "first" { input = "a" }

resource "value" "second" {
  input = value.first.id
  lifecycle {
    precondition {
      condition     = length(value.first.id) >= var.least
      error_message = "The id ${value.first.output} is too short."
    }
    postcondition {
      condition     = self.output == value.first.id
      error_message = "What comes out is what went in."
    }
  }
}

output "id" {
  value = value.second.output == "" ? "none" : "some"
  precondition {
    condition     = length(value.second.id) >= var.least
    error_message = "There is no id."
  }
}

check "health" {
  assert {
    condition     = length(value.second.id) > 1000
    error_message = "The id of ${value.second.input == "" ? "nothing" : "something"} is short."
  }
  assert {
    condition     = value.second.id != ""
    error_message = "There is none."
  }
}
