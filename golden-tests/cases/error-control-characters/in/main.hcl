resource "value" "a" {
  [31minput = "[2J"
}
locals { 31m = 1 }
