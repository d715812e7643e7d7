resource "value" "other" { input = "1" }

resource "sim_network" "old" { name = "n" }
