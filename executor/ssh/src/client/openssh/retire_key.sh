# Removes the host key of the launch for good. As root, over a connection that was shown the machine's own key.
# It goes under another name first: whoever comes after a kill in between still sees that the server must read its keys anew.
set -e
key=/etc/ssh/ssh_host_ecdsa_key
[ -e "$key" ] || [ -e "$key.retired" ] || exit 0
[ ! -e "$key" ] || mv -f "$key" "$key.retired"
rm -f "$key.pub"
sync
server_reads_keys
server_shows ecdsa no
rm -f "$key.retired"
sync
