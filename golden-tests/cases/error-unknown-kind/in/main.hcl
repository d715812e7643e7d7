resource "valeu" "a" {
  input = 1
}
resource "aws_vpc" "v" {}
