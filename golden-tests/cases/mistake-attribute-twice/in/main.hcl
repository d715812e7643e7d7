provider "aws" {
  region = "us-west-2"
}

workspace "lab" {
  network {
    mode = "peered"
    mode = "shared"
  }
}
