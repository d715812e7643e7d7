workspace "w" {
  network {
    cdir = "10.0.0.0/16"
  }
  banana = 1
}
provider "sim" {}
