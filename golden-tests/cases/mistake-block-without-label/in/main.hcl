provider "local" {}

workspace {
}
