workspace "My_Workspace" {}
resource "secret" "a" {}
resource "value" "not a name" {}
provider "sim" {}
