provider "aws" { region = "us-west-2", profile = "p" }
provider "local" { cpus = 2 memory_gib = 4 }
