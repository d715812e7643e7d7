provider "sim" { root = "../world" }

resource "sim_token" "t" {}

data "sim_named" "absent" {
  name = "nobody"
}

data "sim_tagged" "both" {
  tags = { team = "platform" }
}

data "sim_tagged" "any" {}

data "sim_tagged" "later" {
  id = sim_token.t.id
}

data "sim_named" "mistyped" {
  nmae = "shared"
}

data "value" "pure" {
  id = "x"
}

data "workspace" "w" {
  name = "w"
}

output "absent" { value = data.sim_named.missing.id }
