locals {
  sizes = { small = 1, large = 4 }
}

output "n" {
  value = local.sizes.medium
}
