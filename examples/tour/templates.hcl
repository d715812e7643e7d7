# What several blocks have in common: `from = template.NAME`, also a list, where the later one wins.

template "everywhere" {
  tags = { team = var.team.name, stage = var.stage }
  env  = { TZ = "UTC", LANG = "C.UTF-8" }

  setup {
    before_runtimes = ["echo ${var.stage} > /var/tmp/stage"]
  }
}

template "quiet" {
  env = { LANG = null }

  # Added to what is inherited. A block of the same type and label is the same block.
  setup {
    before_runtimes = concat(inherited.before_runtimes, ["echo quiet > /var/tmp/quiet"])
  }
}
