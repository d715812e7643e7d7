capabilities = []

runtime "nginx" {
  pages = {
    "index.html"    = "<h1>Hello & welcome</h1>\n"
    "/css/site.css" = "h1 { color: teal }\n"
  }
}
