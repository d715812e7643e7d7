# Becomes a machine: own mounts over a copy of everything, then what the image does at its first boot. In namespaces of its own.
#   $1  the machine's folder    $2  its name
# It goes on when its network is there, which a line on standard input says.
set -e
folder=$1
read -r _
mount -t tmpfs tmpfs "$folder/disk"
mkdir "$folder/disk/upper" "$folder/disk/work" "$folder/disk/root"
root=$folder/disk/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/disk/upper,workdir=$folder/disk/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
# Of this host's own nothing is seen: what runs, and what people have at home.
for own in run tmp root home; do
    mount -t tmpfs tmpfs "$root/$own"
done
chmod 1777 "$root/tmp"
chmod 700 "$root/root"
mkdir -p "$root/run/sshd"
rm -rf "$root/var/lib/cloudtik"
mkdir -p "$root/var/lib/cloud"
cp -r "$folder/first-boot" "$root/var/lib/cloud/"
hostname "$2"
printf '127.0.0.1 localhost %s\n' "$2" > "$root/etc/hosts"
exec chroot "$root" /bin/bash -c '
    for part in image config; do
        /bin/sh "/var/lib/cloud/first-boot/$part.sh" || exit 1
    done
    for script in /var/lib/cloud/first-boot/script-*; do
        [ ! -e "$script" ] || { chmod 700 "$script" && "$script" & }
    done
    while :; do
        /usr/sbin/sshd -D -e
        sleep 0.2
    done
' < /dev/null
