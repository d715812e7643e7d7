discovered = { backend = service.etcd.endpoints }
runtime "nginx" {
  proxy = { "/" = "backend" }
}
