# Clusters: a head, groups of workers, runtimes that find each other.

cluster "store" {
  workspace = workspace.lab
  from      = template.everywhere

  head {}

  workers "etcd" {
    min = 3
    lifecycle { prevent_destroy = false }
  }

  runtime "etcd" {
    on = ["workers.etcd"]
  }

  runtime "nginx" {
    on    = ["head"]
    port  = 8080
    proxy = { "/" = "backend" }
    discover "backend" {
      services = ["etcd"]
    }
  }

  files = {
    "/etc/motd"  = { content = "Stage ${var.stage}, node ${node.id}\n", mode = "0644" }
    "/etc/token" = { content = var.token, mode = "0600", on = ["head"] }
  }

  setup {
    after_runtimes = ["echo ready > /var/tmp/ready"]
  }
}

# One cluster for each key; it waits for the other.
cluster "user" {
  for_each   = local.members
  workspace  = workspace.lab
  from       = [template.everywhere, template.quiet]
  depends_on = [cluster.store]
  head {}
  env = { TEAM_KEY = each.value }
}
