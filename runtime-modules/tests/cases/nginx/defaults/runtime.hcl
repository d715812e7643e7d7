runtime "nginx" {}
