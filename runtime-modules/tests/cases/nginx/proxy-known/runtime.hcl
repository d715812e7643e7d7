discovered = { backend = ["10.0.0.7:2379", "10.0.0.8:2379"] }
runtime "nginx" {
  proxy = { "/kv/" = "backend", "/docs/" = "http://10.0.0.9:8000/", "/own" = "http://${node.address}:9000" }
}
