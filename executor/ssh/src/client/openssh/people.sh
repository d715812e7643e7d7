# Lets people log in as this user, beside whoever the machine was launched with. As the user itself.
#   $1  `check` or `do`    $2  their public keys, one a line
# Each of our lines stands behind a mark, so that a line of somebody else is never taken for ours.
# Exit code 10: `check` found others.
set -e
umask 077
file=$HOME/.ssh/authorized_keys
mark='# The next line is from a spec of cloudtik.'
[ -f "$file" ] || { mkdir -p "$HOME/.ssh"; : >> "$file"; }
now=$(awk -v mark="$mark" 'ours { print } { ours = ($0 == mark) }' "$file")
[ "$now" != "$2" ] || exit 0
[ "$1" = do ] || exit 10
awk -v mark="$mark" '$0 == mark { skip = 1; next } !skip { print } { skip = 0 }' "$file" > "$file.cloudtik"
[ -z "$2" ] || printf '%s\n' "$2" | awk -v mark="$mark" '{ print mark; print }' >> "$file.cloudtik"
mv -f "$file.cloudtik" "$file"
