provider "aws" {
  region = "us-west-2"
}
resource "aws_vpc" "main" {
  cidr_block = "10.0.0.0/16"
}
output "v" {
  value = data.aws_vpc.main.id
}
output "w" {
  value = aws_vpc.mian.id
}
output "x" {
  value = aws_vpc.main.ident
}
