provider "sim" {
  alias = "west"
}

provider "sim" {
  alias = "west"
}

provider "sim" {
  alias = "a-${var.name}"
}

provider "sim" {
  for_each = toset(["a"])
}

provider "sim" {
  alias    = "each"
  for_each = toset(["east", "south"])
}

variable "name" {
  default = "x"
}

workspace "forgotten" {}

workspace "misspelt" {
  provider = sim.wset
}

workspace "keyless" {
  provider = sim.each
}

workspace "keyed" {
  for_each = toset(["east", "noth"])
  provider = sim.each[each.key]
}

workspace "quoted" {
  provider = "sim.west"
}

workspace "client" {
  provider = sim.west
  network {
    mode            = "peered"
    client_provider = local
  }
}
