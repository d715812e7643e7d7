# Settings of the project, and where things are made. A project is all `*.hcl` files of a folder; their names and their order mean nothing.

cloudtik {
  required_version = ">= 0.1"
  state "local" {
    path = ".cloudtik/${var.stage}.json"
  }
}

# The simulated cloud: everything here can be applied without an account, and nothing is made in the world.
provider "sim" {
  seed = 7
}

# Another configuration of the same type is called by its alias, here one for each key: sim.region["east"].
provider "sim" {
  alias    = "region"
  for_each = toset(["east", "west"])
}
