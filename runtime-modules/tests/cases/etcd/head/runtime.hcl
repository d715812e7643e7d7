runtime "etcd" {}
