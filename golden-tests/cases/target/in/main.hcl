resource "value" "first" { input = "a" }

resource "value" "second" { input = value.first.id }

resource "value" "third" { input = "${value.second.output}!" }

resource "value" "loose" { input = "b" }

resource "value" "gone" { input = value.first.output }

output "third" { value = value.third.output == "" ? "none" : "some" }

output "first" { value = value.first.output }
