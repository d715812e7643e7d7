on = "workers.g"
runtime "etcd" {
  client_port               = 12379
  peer_port                 = 12380
  heartbeat_interval        = 200
  election_timeout          = 2000
  quota_backend_bytes       = 8589934592
  snapshot_count            = 10000
  auto_compaction_retention = "0"
  log_level                 = "warn"
  config                    = { max-request-bytes = 3145728, metrics = "extensive" }
  env                       = { GOMAXPROCS = "2" }
}
