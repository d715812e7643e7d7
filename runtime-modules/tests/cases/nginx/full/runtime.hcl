capabilities = ["own_root"]

runtime "nginx" {
  port              = "8443"
  server_name       = "a.example b.example"
  workers           = 2
  connections       = 256
  keepalive_timeout = "10s"
  client_max_body   = "20m"
  access_log        = true
  gzip              = false
  user              = "www-data"
  config = {
    add_header                    = ["X-One 1", "X-Two '2'"]
    etag                          = false
    server_names_hash_bucket_size = 128
    "map_hash_max_size"           = "4096"
  }
}
