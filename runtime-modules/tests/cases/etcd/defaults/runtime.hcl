on = "workers.g"
runtime "etcd" {}
