# The templates for clusters whose workers have GPUs, by what their machines have.

template "gpu/t4/very-small" {
  head {
    cpus       = 4
    memory_gib = 16
  }
  workers "default" {
    cpus       = 4
    memory_gib = 16
    gpus       = 1
    gpu_type   = "T4"
  }
}

template "gpu/t4/small" {
  head {
    cpus       = 4
    memory_gib = 16
  }
  workers "default" {
    cpus       = 8
    memory_gib = 32
    gpus       = 1
    gpu_type   = "T4"
  }
}

template "gpu/t4/medium" {
  head {
    cpus       = 4
    memory_gib = 16
  }
  workers "default" {
    cpus       = 16
    memory_gib = 64
    gpus       = 1
    gpu_type   = "T4"
  }
}

template "gpu/t4/standard" {
  head {
    cpus       = 8
    memory_gib = 32
  }
  workers "default" {
    cpus       = 32
    memory_gib = 128
    gpus       = 1
    gpu_type   = "T4"
  }
}

template "gpu/t4/large" {
  head {
    cpus       = 16
    memory_gib = 64
  }
  workers "default" {
    cpus       = 48
    memory_gib = 192
    gpus       = 4
    gpu_type   = "T4"
  }
}

template "gpu/t4/very-large" {
  head {
    cpus       = 16
    memory_gib = 64
  }
  workers "default" {
    cpus       = 96
    memory_gib = 384
    gpus       = 8
    gpu_type   = "T4"
  }
}

template "gpu/v100-16/standard" {
  head {
    cpus       = 16
    memory_gib = 64
  }
  workers "default" {
    cpus       = 8
    memory_gib = 61
    gpus       = 1
    gpu_type   = "V100"
  }
}

template "gpu/v100-16/large" {
  head {
    cpus       = 16
    memory_gib = 64
  }
  workers "default" {
    cpus       = 32
    memory_gib = 244
    gpus       = 4
    gpu_type   = "V100"
  }
}

template "gpu/v100-16/very-large" {
  head {
    cpus       = 16
    memory_gib = 64
  }
  workers "default" {
    cpus       = 64
    memory_gib = 488
    gpus       = 8
    gpu_type   = "V100"
  }
}

template "gpu/v100-32/very-large" {
  head {
    cpus       = 16
    memory_gib = 64
  }
  workers "default" {
    cpus       = 96
    memory_gib = 768
    gpus       = 8
    gpu_type   = "V100"
  }
}

template "gpu/a100-40/very-large" {
  head {
    cpus       = 16
    memory_gib = 64
  }
  workers "default" {
    cpus       = 96
    memory_gib = 1152
    gpus       = 8
    gpu_type   = "A100"
  }
}

template "gpu/a100-80/very-large" {
  head {
    cpus       = 16
    memory_gib = 64
  }
  workers "default" {
    cpus       = 96
    memory_gib = 1152
    gpus       = 8
    gpu_type   = "A100"
  }
}
