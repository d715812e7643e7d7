provider "sim" {}

variable "size" {
  type    = string
  default = "small"
}

workspace "w" {}

cluster "standard" {
  workspace = workspace.w
  from      = "standard-highmem"
}

# The workspace may be inherited, and the name of a shipped template computed.
template "ours" {
  workspace = workspace.w
  tags      = { size = var.size }
}

cluster "varied" {
  from = [template.ours, var.size]
  workers "default" {
    enabled = false
  }
}

cluster "gpu" {
  workspace = workspace.w
  from      = "gpu/t4/standard"
  workers "default" {
    instance_type = "own.large"
  }
}

cluster "named" {
  workspace = workspace.w
  from      = ["sim/large", template.fewer]
}

template "fewer" {
  workers "default" {
    cpus = inherited.cpus / 2
  }
}
