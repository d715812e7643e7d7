variable "zone" {
  default = "z1"
}
variable "greeting" {
  type = string
}
locals {
  names = ["a", "b"]
  text  = "${var.greeting}, ${local.names[0]}"
}
resource "sim_token" "t" {
  zone = var.zone
}
resource "value" "text" {
  input = "${local.text} at ${sim_token.t.address}"
}
resource "value" "list" {
  count = length(local.names)
  input = count.index
}
resource "value" "gone" {
  input = 1
}
resource "value" "follows" {
  lifecycle {
    replace_triggered_by = [value.text]
  }
}
workspace "w" {
}
cluster "c" {
  workspace = workspace.w
  head {}
  setup {
    before_runtimes = ["echo ${local.text}"]
  }
}
provider "sim" {}
