workspace "w" { provider = sim }

cluster "c" {
  from      = "sim/small"
  workspace = workspace.w
}
