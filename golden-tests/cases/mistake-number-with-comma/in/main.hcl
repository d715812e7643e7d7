locals {
  size = 1,000
}
