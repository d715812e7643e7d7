provider "sim" {}
provider "local" {}

# The name that the module's own has, through another provider.
workspace "w" { provider = local }

workspace "shared" { provider = sim }

module "own" { source = "./modules/own" }

module "given" {
  source    = "./modules/given"
  workspace = workspace.shared
}
