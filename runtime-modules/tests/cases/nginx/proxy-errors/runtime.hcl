runtime "nginx" {
  proxy = { "kv {" = "backend", "/a" = "bakend" }
}
