#!/usr/bin/env bash
# Run a command as process 1 in an image's root, as strictly as a cluster does: tests/container/run.sh ROOT USER COMMAND …
#
# The root is read-only, /tmp is a tmpfs, and there are no capabilities; the network is this machine's. The variables
# are the caller's.
set -euo pipefail
if [[ $$ != 1 ]]; then
  exec unshare --mount --propagation private --pid --fork "$0" "$@"
fi
root=$1 user=$2
mount --bind "$root" "$root"
echo "127.0.0.1 localhost" >"$root/etc/hosts" # as every engine does
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs -o size=64m,nosuid,nodev tmpfs "$root/tmp"
mount -o remount,bind,ro "$root"
cd "$root"
exec /usr/sbin/chroot "$root" /usr/bin/setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups \
  --inh-caps=-all --bounding-set=-all --no-new-privs \
  /usr/bin/env --chdir=/opt/nelumbo "${@:3}"
