provider "local" {}

workspace "lab" {}

cluster "etl" {
  workspace = workspace.lab
  head {}
  setup {
    before_runtimes = "apt-get install -y jq"
  }
}
