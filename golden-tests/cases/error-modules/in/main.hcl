module "leaf" {
  source = "./modules/leaf"
  txet   = 1
}

module "far" {
  source = "terraform-aws-modules/vpc/aws"
}

module "gone" {
  source = "./modules/gone"
}

module "loop" {
  source = "./modules/loop"
}

module "good" {
  source   = "./modules/leaf"
  for_each = toset(["a", "b"])
  text     = ["no", "text"]
}

output "none" { value = module.loop.nothing }
