variable "most" {
  type    = number
  default = 2
}

variable "input" { default = "a" }

resource "value" "x" {
  count = 3
  input = "${var.input}${count.index}"
}

resource "value" "kept" {
  input = sensitive("hunter2")
}

policy "size" {
  for_each      = toset(["value.x"])
  condition     = length(value.x) <= var.most
  error_message = "There are ${length(value.x)} of ${each.key}, and there may be ${var.most}."
}

policy "stays" {
  condition     = !contains(each.value.actions, "delete")
  error_message = "${each.value.address} would be deleted."
}

policy "named" {
  condition     = each.value.kind != "value" || each.value.after == null || each.value.after.input != "a1"
  error_message = "${each.value.address} is called ${each.value.after.input}."
  enforcement   = "warn"
}

policy "secret" {
  condition     = try(each.value.after.input, "") != "hunter2"
  error_message = "${each.value.address} has ${each.value.after.input}."
  enforcement   = "warn"
}
