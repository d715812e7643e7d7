data "workspace" "w" {
  name = "w"
}
cloudtik {
  state "s3" {
    bucket = "b"
    key    = "k"
  }
}
workspace "w" {}
cluster "c" {
  workspace = workspace.w
  head {}
}
check "up" {
}
provider "sim" {}
