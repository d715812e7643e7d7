# Another folder as a unit: what it needs goes in, its outputs come out. It has no providers of its own.

module "tokens" {
  source    = "./modules/tokens"
  for_each  = local.members
  providers = { sim = sim.region["east"] }

  owner = each.key
}
