variable "texts" { default = { a = "x", b = "y" } }

resource "value" "seed" { input = "s" }

module "leaf" {
  source   = "./modules/leaf"
  for_each = var.texts
  text     = "${each.value}-${value.seed.output}"
  secret   = "hidden"
}

module "mid" {
  source = "./modules/mid"
  id     = module.leaf["a"].id
}

output "texts" { value = { for key, leaf in module.leaf : key => leaf.text } }
output "deep" { value = module.mid.text }
