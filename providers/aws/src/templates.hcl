# The templates for clusters on AWS, by the size of their machines. A head is smaller than the workers that it has.

template "small" {
  head {
    instance_type = "m5.xlarge"
    disk_gib      = 100
  }
  workers "default" {
    instance_types = ["m5.xlarge"]
    disk_gib       = 200
  }
}

template "small-highmem" {
  from = "small"
  workers "default" {
    instance_types = ["r5.xlarge"]
  }
}

template "medium" {
  head {
    instance_type = "m5.4xlarge"
    disk_gib      = 100
  }
  workers "default" {
    instance_types = ["m5.8xlarge"]
    disk_gib       = 100
  }
}

template "medium-highmem" {
  from = "medium"
  workers "default" {
    instance_types = ["r5.8xlarge"]
  }
}

template "standard" {
  head {
    instance_type = "m5.2xlarge"
    disk_gib      = 100
  }
  workers "default" {
    instance_types = ["m5.2xlarge"]
    disk_gib       = 100
  }
}

template "standard-highmem" {
  from = "standard"
  workers "default" {
    instance_types = ["r5.2xlarge"]
  }
}

template "large" {
  head {
    instance_type = "m5.4xlarge"
    disk_gib      = 100
  }
  workers "default" {
    instance_types = ["m5.16xlarge"]
    disk_gib       = 100
  }
}

template "large-highmem" {
  from = "large"
  workers "default" {
    instance_types = ["r5.16xlarge"]
  }
}

template "very-large" {
  head {
    instance_type = "m5.4xlarge"
    disk_gib      = 100
  }
  workers "default" {
    instance_types = ["m5.24xlarge"]
    disk_gib       = 100
  }
}

template "very-large-highmem" {
  from = "very-large"
  workers "default" {
    instance_types = ["r5.24xlarge"]
  }
}

template "gpu/t4/very-small" {
  head {
    instance_type = "m5.xlarge"
    disk_gib      = 256
  }
  workers "default" {
    instance_types = ["g4dn.xlarge"]
    disk_gib       = 256
  }
}

template "gpu/t4/small" {
  head {
    instance_type = "m5.xlarge"
    disk_gib      = 256
  }
  workers "default" {
    instance_types = ["g4dn.2xlarge"]
    disk_gib       = 256
  }
}

template "gpu/t4/medium" {
  head {
    instance_type = "m5.xlarge"
    disk_gib      = 256
  }
  workers "default" {
    instance_types = ["g4dn.4xlarge"]
    disk_gib       = 256
  }
}

template "gpu/t4/standard" {
  head {
    instance_type = "m5.2xlarge"
    disk_gib      = 256
  }
  workers "default" {
    instance_types = ["g4dn.8xlarge"]
    disk_gib       = 256
  }
}

template "gpu/t4/large" {
  head {
    instance_type = "m5.4xlarge"
    disk_gib      = 256
  }
  workers "default" {
    instance_types = ["g4dn.12xlarge"]
    disk_gib       = 256
  }
}

template "gpu/t4/very-large" {
  head {
    instance_type = "m5.4xlarge"
    disk_gib      = 256
  }
  workers "default" {
    instance_types = ["g4dn.metal"]
    disk_gib       = 256
  }
}

template "gpu/v100-16/standard" {
  head {
    instance_type = "m5.4xlarge"
    disk_gib      = 256
  }
  workers "default" {
    instance_types = ["p3.2xlarge"]
    disk_gib       = 256
  }
}

template "gpu/v100-16/large" {
  head {
    instance_type = "m5.4xlarge"
    disk_gib      = 256
  }
  workers "default" {
    instance_types = ["p3.8xlarge"]
    disk_gib       = 256
  }
}

template "gpu/v100-16/very-large" {
  head {
    instance_type = "m5.4xlarge"
    disk_gib      = 256
  }
  workers "default" {
    instance_types = ["p3.16xlarge"]
    disk_gib       = 256
  }
}

template "gpu/v100-32/very-large" {
  head {
    instance_type = "m5.4xlarge"
    disk_gib      = 256
  }
  workers "default" {
    instance_types = ["p3dn.24xlarge"]
    disk_gib       = 256
  }
}

template "gpu/a100-40/very-large" {
  head {
    instance_type = "m5.4xlarge"
    disk_gib      = 256
  }
  workers "default" {
    instance_types = ["p4d.24xlarge"]
    disk_gib       = 256
  }
}

template "gpu/a100-80/very-large" {
  head {
    instance_type = "m5.4xlarge"
    disk_gib      = 256
  }
  workers "default" {
    instance_types = ["p4de.24xlarge"]
    disk_gib       = 256
  }
}
