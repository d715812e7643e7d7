runtime "nginx" {
  workers     = node.cores * 2
  server_name = "${node.address}.example"
  pages       = { "index.html" = "I am ${node.address}\n" }
}
