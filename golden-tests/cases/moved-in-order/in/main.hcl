module "z" { source = "./modules/b" }
