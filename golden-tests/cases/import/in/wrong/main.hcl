provider "sim" { root = "../world" }

workspace "w" {
  name = "v"
}

cluster "c" {
  workspace = workspace.w
  head {}
}

resource "sim_token" "t" {}

resource "value" "v" {
  input = 1
}

import {
  to = sim_token.u
  id = "token-1"
}

import {
  to = workspace.w
  id = "w"
}

import {
  to = cluster.c
  id = "c"
}

import {
  to = cluster.c.head
  id = "instance-1"
}

import {
  to = value.v
  id = "v"
}

import {
  to = sim_token.t
  id = sim_token.t.id
}

import {
  to = sim_token.t
  id = "token-2"
}

import {
  to       = sim_token.t
  provider = local
  id       = ""
}
