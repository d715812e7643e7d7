# Makes the node's folder, and has the agent run if the program is there. As root.
#   $1  the node's folder    $2  who logs in, as whom files are sent
# Exit code 10: the program is not there; the machine's architecture is printed.
set -e
umask 022
root=$1
mkdir -p "$root/bin" "$root/artifacts"
chmod 711 "$root"
chown "$2" "$root/artifacts"
if [ ! -x "$root/bin/cloudtik" ] || [ ! -s "$root/boot.json" ]; then
    uname -m
    exit 10
fi
agent_runs
