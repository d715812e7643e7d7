on = "workers.g"
runtime "etcd" {
  client_port      = 0
  peer_port        = 0
  election_timeout = 100
  log_level        = "loud"
}
