provider "aws" {
  region = "us-west-2"
}

resource "aws_ssm_parameter" "password" {
  name = "/app/password"
  type = "SecureString"
}

resource "aws_ssm_parameter" "motd" {
  name = "/app/motd"
}

resource "aws_vpc" "n" {
  cidr_block = "10.0.0.0/16"
}

resource "aws_route_table" "t" {
  vpc_id = aws_vpc.n.id
}

resource "aws_route" "nowhere" {
  route_table_id         = aws_route_table.t.id
  destination_cidr_block = "0.0.0.0/0"
}

resource "aws_security_group" "g" {
  name   = "g"
  vpc_id = aws_vpc.n.id
}

resource "aws_vpc_security_group_ingress_rule" "web" {
  security_group_id            = aws_security_group.g.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  cidr_ipv4                    = "10.0.0.0/8"
  referenced_security_group_id = aws_security_group.g.id
}

resource "aws_ebs_volume" "fast" {
  availability_zone = "us-west-2a"
  size              = 100
  type              = "io2"
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.n.id
  service_name      = "com.amazonaws.us-west-2.s3"
  vpc_endpoint_type = "Interface"
  route_table_ids   = [aws_route_table.t.id]
}
