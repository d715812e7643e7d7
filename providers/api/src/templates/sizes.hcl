# The templates for clusters by what their machines have, for providers that have no types of machines.

template "small" {
  head {
    cpus       = 4
    memory_gib = 16
  }
  workers "default" {
    cpus       = 4
    memory_gib = 16
  }
}

template "small-highmem" {
  from = "small"
  workers "default" {
    memory_gib = 32
  }
}

template "medium" {
  head {
    cpus       = 16
    memory_gib = 64
  }
  workers "default" {
    cpus       = 32
    memory_gib = 128
  }
}

template "medium-highmem" {
  from = "medium"
  workers "default" {
    memory_gib = 256
  }
}

template "standard" {
  head {
    cpus       = 8
    memory_gib = 32
  }
  workers "default" {
    cpus       = 8
    memory_gib = 32
  }
}

template "standard-highmem" {
  from = "standard"
  workers "default" {
    memory_gib = 64
  }
}

template "large" {
  head {
    cpus       = 16
    memory_gib = 64
  }
  workers "default" {
    cpus       = 64
    memory_gib = 256
  }
}

template "large-highmem" {
  from = "large"
  workers "default" {
    memory_gib = 512
  }
}

template "very-large" {
  head {
    cpus       = 16
    memory_gib = 64
  }
  workers "default" {
    cpus       = 96
    memory_gib = 384
  }
}

template "very-large-highmem" {
  from = "very-large"
  workers "default" {
    memory_gib = 768
  }
}
