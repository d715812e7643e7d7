provider "sim" {}

workspace "w" {
  database "d" {
    engine   = "mysql"
    existing = { address = "db.example", username = "u", password = "nobody reads this" }
  }
  storage "s" {
    existing   = "s3://bucket"
    access_key = "nor this"
    secret_key = "nor that"
  }
}
