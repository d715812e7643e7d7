# Takes the program that was sent, and has the agent run. As root; the boot file comes on standard input.
#   $1  the node's folder    $2  the program, as it was sent    $3  its digest
# What stands under its last name is whole and runs on this machine.
set -e
umask 022
root=$1
new=$root/bin/cloudtik.new
cp -f -- "$2" "$new"
sum=$(sha256sum < "$new")
if [ "${sum%% *}" != "$3" ]; then
    echo "the program arrived damaged" >&2
    exit 1
fi
chmod 755 "$new"
if ! said=$("$new" --version 2>&1); then
    rm -f -- "$new"
    echo "the program does not run on this machine: $said" >&2
    exit 1
fi
(umask 077 && cat > "$root/boot.json.new")
sync
mv -f "$root/boot.json.new" "$root/boot.json"
mv -f "$new" "$root/bin/cloudtik"
rm -f -- "$2"
sync
agent_runs
