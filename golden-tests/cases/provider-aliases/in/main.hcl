provider "sim" {}

provider "sim" {
  alias = "west"
  seed  = 7
}

provider "sim" {
  alias    = "each"
  for_each = { one = 1, two = 2 }
  seed     = each.value
}

workspace "here" {}

workspace "there" {
  provider = sim.west
  name     = "here"
}

workspace "everywhere" {
  for_each = toset(["one", "two"])
  provider = sim.each[each.key]
  name     = "here"
}
