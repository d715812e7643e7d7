provider "sim" { root = "../world" }

data "sim_named" "shared" {
  name = "shared"
}

data "sim_tagged" "part" {
  for_each = toset(["a", "b"])
  tags     = { team = data.sim_named.shared.tags.team, part = each.key }
}

resource "sim_token" "mine" {
  size = data.sim_named.shared.size
  note = data.sim_tagged.part["b"].id
}

output "parts" {
  value = { for key, part in data.sim_tagged.part : key => part.address }
}
