capabilities = []

runtime "nginx" {
  port  = 70000
  root  = "/srv/www"
  pages = { "../escape" = "x", "ok.html" = "y" }
}
