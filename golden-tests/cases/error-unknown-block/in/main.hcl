resorce "value" "a" {
  input = 1
}
bananas {}
