# Results: `cloudtik output`.

output "store" {
  value       = "http://${cluster.store.head.private_ip}:8080"
  description = "Where keys and values are kept."
  depends_on  = [cluster.store]
  precondition {
    condition     = cluster.store.head.private_ip != ""
    error_message = "The head has no address."
  }
}

output "tokens" {
  value     = { for name, token in module.tokens : name => token.id }
  sensitive = true
}
