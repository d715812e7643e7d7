provider "sim" { root = "../world" }

import {
  to = workspace.w
  id = "w"
}

workspace "w" {
  storage "default" {}
  storage "logs" {}
}
