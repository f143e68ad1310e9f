#!/usr/bin/env bash
# Lays out the files of some Debian packages in the cache, once per machine, and prints the folder. Nothing is installed.
#
#   debian-files.sh jammy-tiny   what paketo's image run-jammy-tiny lists, on which Velero's image is made
#   debian-files.sh arm64        qemu for programs of arm64, and the libraries that Node needs there
set -euo pipefail

die() { printf 'test/tools/debian-files.sh: %s\n' "$*" >&2; exit 1; }

case ${1:-} in
  jammy-tiny)
    packages=(base-files netbase tzdata ca-certificates libc6 libssl3 zlib1g libstdc++6 libgcc-s1)
    mount_points=(plugins scratch)
    ;;
  arm64)
    packages=(qemu-user-static libc6-arm64-cross libstdc++6-arm64-cross libgcc-s1-arm64-cross)
    mount_points=()
    ;;
  *) die 'usage: debian-files.sh jammy-tiny|arm64' ;;
esac

cache=${DORMOUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dormouse}/debian
hash=$(printf '%s\n' "${packages[@]}" "${mount_points[@]}" | sha256sum)
folder=$cache/$1-${hash:0:12}
if [[ ! -e $folder ]]; then
  mkdir -p "$cache"
  scratch=$(mktemp -d "$cache/.fetching-XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  mkdir "$scratch/packages" "$scratch/files"
  cd "$scratch/packages"
  # Without lists of packages, as on a fresh machine, the first attempt fails.
  apt-get download "${packages[@]}" >log 2>&1 || { apt-get update && apt-get download "${packages[@]}"; } >log 2>&1 ||
    { cat log >&2; die "apt-get could not fetch ${packages[*]}"; }
  for package in *.deb; do dpkg-deb -x "$package" "$scratch/files"; done
  for name in "${mount_points[@]}"; do mkdir -p "$scratch/files/$name"; done
  # Two at once: the first one's folder stays, and is the same.
  mv -T "$scratch/files" "$folder" 2>/dev/null || [[ -e $folder ]]
fi
printf '%s\n' "$folder"
