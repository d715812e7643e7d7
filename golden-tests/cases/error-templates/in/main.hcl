provider "sim" {}

workspace "w" {}

# What nobody inherits is checked all the same.
template "unused" {
  tagz = {}
  workers "default" {
    maximum = 3
    min     = var.missing
  }
}

template "mixed" {
  network {}
  head {}
}

template "first" {
  from = template.second
}

template "second" {
  from = template.first
}

template "base" {
  workspace = workspace.w
  workers "default" {
    max = "many"
  }
}

template "network" {
  network {}
}

template "more" {
  from = template.base
  head {
    tags = { a = inherited.tagz.a }
  }
}

# A fault of a template is said once.
cluster "a" {
  from = template.base
  head {}
}

cluster "b" {
  from = template.base
  head {}
}

cluster "wrong-words" {
  workspace = workspace.w
  from      = template.network
}

cluster "unknown" {
  workspace = workspace.w
  from      = [template.bas, "standrad", "base"]
}

cluster "twice" {
  from = [template.base, template.base]
}

cluster "computed" {
  from = 1 == 1 ? template.base : template.network
}

cluster "varies" {
  for_each  = toset(["small"])
  workspace = workspace.w
  from      = each.key
}

cluster "number" {
  workspace = workspace.w
  from      = 5
}

cluster "nothing" {
  workspace = workspace.w
  from      = template.empty
  tags      = merge(inherited.tags, {})
  env       = inherited
  head {
    cpus = inherited.cpus
  }
}

template "empty" {}

cluster "without" {
  workspace = workspace.w
  tags      = inherited.tags
  env       = { A = template.base }
}

cluster "missing" {
  from = template.empty
}

workspace "shipped" {
  from = "standard"
}

template "b@d" {}

template "base" {}
