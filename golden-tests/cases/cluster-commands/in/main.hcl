provider "sim" {}

variable "clusters" {
  type    = set(string)
  default = ["web"]
}

workspace "w" {}

cluster "shop" {
  for_each  = var.clusters
  workspace = workspace.w

  head {}
}
