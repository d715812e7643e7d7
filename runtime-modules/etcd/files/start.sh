# Becomes etcd. Arguments: the folder of its programs, its configuration, the port for clients, a folder for what lives as long as the node.
#
# A member that joins must tell etcd exactly the members that there are at that moment, or it is refused, and the configuration says who
# was in the group when this node was set up. So at its first start a member that joins asks those for the members.

set -eu
bin=$1
conf=$2
port=$3
run=$4

setting() {
  sed -n "s|^\"\{0,1\}$1\"\{0,1\}: \"\(.*\)\"\$|\1|p" "$conf" | tail -n 1
}

name=$(setting name)
own=$(setting initial-advertise-peer-urls)
if [ -d "$(setting data-dir)/member/wal" ] || [ "$(setting initial-cluster-state)" = new ]; then
  exec "$bin/etcd" --config-file "$conf"
fi

# Sets `cluster` to the members that this member of the list says there are. It fails unless we are one of them.
ask() {
  list=$("$bin/etcdctl" --endpoints="$1" --command-timeout=5s member list) || return 1
  cluster=
  joined=
  while IFS=', ' read -r id state who urls rest; do
    if [ "$urls" = "$own" ] && [ "$state" = unstarted ]; then
      who=$name
      joined=yes
    elif [ -z "$who" ]; then
      who=member-$id
    fi
    cluster=$cluster,$who=$urls
  done <<LIST
$list
LIST
  [ -n "$joined" ]
}

tries=0
while [ "$tries" -lt 10 ]; do
  for member in $(setting initial-cluster | tr , ' '); do
    url=${member#*=}
    [ "$url" = "$own" ] && continue
    if ask "${url%:*}:$port"; then
      sed "s|^initial-cluster: .*|initial-cluster: \"${cluster#,}\"|" "$conf" >"$run/etcd-joining.yaml"
      exec "$bin/etcd" --config-file "$run/etcd-joining.yaml"
    fi
  done
  tries=$((tries + 1))
  sleep 1
done
echo "$name at $own is no member that has yet to start, as far as anybody says who can be asked" >&2
exit 1
