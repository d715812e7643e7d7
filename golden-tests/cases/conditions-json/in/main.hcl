resource "value" "before" {
  input = "b"
  lifecycle {
    postcondition {
      condition     = length(self.id) > 1000
      error_message = "The id of ${self.output} is short."
    }
  }
}

resource "value" "stopped" { input = value.before.id }
