# What the two scripts of the host keys share: the server reads its keys anew, and shows what it should. As root.
#   $SSH_CONNECTION  where this connection came in

# The server keeps its connections, this one among them.
server_reads_keys() {
    if [ -d /run/systemd/system ]; then
        for unit in ssh.service sshd.service; do
            if systemctl is-active --quiet "$unit"; then
                systemctl restart "$unit"
                return
            fi
        done
    fi
    # Without systemd it is the first of its name above this shell.
    server=
    process=$$
    while [ "$process" -gt 1 ]; do
        [ "$(cat "/proc/$process/comm")" != sshd ] || server=$process
        process=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$process/status")
    done
    # A server that is started for each connection reads its keys each time.
    [ -z "$server" ] || kill -HUP "$server"
}

# Waits until the server shows a host key of the type $1, or (`no` in $2) until it does not. It is another process, and takes a moment.
server_shows() {
    place=${SSH_CONNECTION#* * }
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        shown=no
        [ -z "$(ssh-keyscan -T 5 -t "$1" -p "${place#* }" "${place% *}" 2> /dev/null)" ] || shown=yes
        [ "$shown" != "$2" ] || return 0
        sleep 0.1 2> /dev/null || sleep 1
    done
    echo "the SSH server goes on as if its host keys were the former ones" >&2
    return 1
}
