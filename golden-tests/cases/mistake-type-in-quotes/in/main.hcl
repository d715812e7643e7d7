variable "size" {
  type    = "integer"
  default = 3
}
variable "zones" {
  type = list
}
variable "n" {
  type = int
}
