variable "workspace" {}
variable "size" { default = "large" }

cluster "c" {
  from      = var.size
  workspace = var.workspace
}
