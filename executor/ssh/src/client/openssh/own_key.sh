# Has the machine make its own host key, once, and prints the public half. As root.
#   $1  `check` or `do`    $2  whether the server already shows that key on this connection: `yes` or `no`
# Exit code 10: `check` found none.
set -e
umask 077
key=/etc/ssh/ssh_host_ed25519_key
if [ ! -s "$key" ] || [ ! -s "$key.pub" ]; then
    [ "$1" = do ] || exit 10
    rm -f "$key.new" "$key.new.pub"
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$key.new"
    chmod 644 "$key.new.pub"
    mv -f "$key.new.pub" "$key.pub"
    mv -f "$key.new" "$key"
    sync
fi
if [ "$2" = no ]; then
    server_reads_keys
    server_shows ed25519 yes
fi
cat "$key.pub"
