runtime "nginx" {
  proxy = { "/" = "backend" }
}
