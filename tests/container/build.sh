#!/usr/bin/env bash
# Build the Dockerfile without a Docker engine: tests/container/build.sh FOLDER [TARGET …]
#
# buildah runs as root in a chroot. The base image is made here, of Debian's own Python, under the name that the
# Dockerfile has for it: what the real one holds besides is not tested. FOLDER keeps the images for the tests
# and the next build; the base is kept in NELUMBO_BASE (default: ~/.cache/nelumbo), as it never changes.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(realpath -m "$1")
targets=("${@:2}")
cache=${NELUMBO_BASE:-${XDG_CACHE_HOME:-$HOME/.cache}/nelumbo}
base=$(sed -nE 's/^ARG BASE=([^@]+).*/\1/p' Dockerfile) # a digest would be that of the real one
mkdir -p "$folder" "$cache"

store() { buildah --root "$folder/root" --runroot "$folder/run" --storage-driver vfs "$@"; }

make_base() {
  local archive=$cache/bookworm-python3.tar container
  if [[ ! -f $archive ]]; then
    mmdebstrap --quiet --variant=essential --dpkgopt=force-unsafe-io --include=python3,python3-venv,libstdc++6 \
      bookworm "$archive.part.tar" ||
      exit 77 # no mirror of Debian's, which tells nothing of the Dockerfile
    mv "$archive.part.tar" "$archive"
  fi
  container=$(store from scratch)
  store add --quiet "$container" "$archive" / >/dev/null
  store commit --quiet --rm "$container" "$base" >/dev/null
}

# Print this machine's settings of pip as one file.
pip_settings() {
  echo "[global]"
  "${PYTHON:-python3}" -m pip config list | sed -nE "s/^(global|:env:)\.([^=]+)='(.*)'$/\2 = \3/p" | sort -u -t= -k1,1
}

# Print the options that show the build that file, and whatever of this machine it names; an index has its files beside it.
volumes() {
  echo "--volume=$folder/pip.conf:/etc/pip.conf:ro"
  tr ' ' '\n' <"$folder/pip.conf" | grep -o '/.*' | sed 's|/simple$||' | xargs -r -n1 realpath -m | while read -r path; do
    if [[ -e $path ]]; then echo "--volume=$path:$path:ro"; fi
  done
}

store inspect --type image "$base" >/dev/null 2>&1 || make_base
pip_settings >"$folder/pip.conf"
mapfile -t volumes < <(volumes)
for target in "${targets[@]:-cpu}"; do
  # Layers would each be a copy of all below them: vfs shares nothing.
  store build --isolation chroot --format docker --pull-never --layers=false --target "$target" --build-arg "BASE=$base" "${volumes[@]}" \
    --tag "localhost/nelumbo:$target" .
done
store rmi --prune >/dev/null # what had these names before
