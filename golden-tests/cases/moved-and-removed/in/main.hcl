resource "value" "plain" { input = "a" }

resource "value" "counted" {
  count = 2
  input = "b${count.index}"
}

resource "value" "left" { input = "c" }

resource "value" "gone" { input = "d" }
