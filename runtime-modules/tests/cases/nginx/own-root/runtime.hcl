capabilities = ["own_root", "low_ports"]

runtime "nginx" {
  port  = 80
  root  = "/srv/www"
  pages = { "index.html" = "hello" }
  env   = { LANG = "C" }
}
