resource "value" "x" {
  for_each = toset(["a", "b"])
  input    = each.key
  lifecycle {
    precondition {
      condition     = each.key != ""
      error_message = "There is no key."
    }
    postcondition {
      condition     = self.id != ""
      error_message = "There is no id."
    }
  }
}

check "short" {
  assert {
    condition     = length("many") > 9
    error_message = "It has ${length("many")} letters."
  }
  assert {
    condition     = true
    error_message = "Nothing is true."
  }
}

output "fine" {
  value = 1
  precondition {
    condition     = 1 < 2
    error_message = "Numbers are wrong."
  }
}
