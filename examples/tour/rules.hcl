# What should be true, and what a plan must not do.

check "members" {
  assert {
    condition     = length(local.members) > 0
    error_message = "Nobody is in the team."
  }
}

policy "secrets-stay" {
  condition     = each.value.kind != "sim_token" || !contains(each.value.actions, "delete")
  error_message = "${each.value.address} would be deleted."
  enforcement   = "warn"
}
