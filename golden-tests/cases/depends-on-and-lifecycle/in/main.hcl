resource "value" "trigger" {
  input = 1
}
resource "value" "b" {
  input = "b"
  lifecycle {
    replace_triggered_by = [value.trigger]
  }
}
resource "value" "c" {
  depends_on = [value.b]
}
