variable region {
type="string"
  default =   "eu"   # where
}

resource "value" "x" {
    input={
a=1
      bbb = "${var.region}"
}
}
