module "site" {
  version = "1.0.0"
  roles   = ["workers"]
}

file "page" {
  path     = "${node.dirs.data}/page.txt"
  template = "page.hbs"
  bindings = { address = node.address, members = length(group.members) }
}

run "publish" {
  run     = ["publish", "${node.dirs.data}/page.txt"]
  follows = ["page"]
}
