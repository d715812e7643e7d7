# Values for variables; `*.auto.vars.hcl` is read by itself.
team = {
  name    = "data"
  members = { ana = "a1", bo = "b2" }
}
