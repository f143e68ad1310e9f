#!/bin/sh
# Builds the VDDK stand-in into OUTDIR/lib64. Needs only a C compiler; does nothing when what is there is newer than the sources.
# `build.sh OUTDIR probe` builds OUTDIR/probe too, the program that breaks its rules on purpose.
set -eu

mkdir -p "${1:?usage: build.sh OUTDIR [probe]}"
out=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
library=$out/lib64/libvixDiskLib.so.8
tls=libvddkStandinTls.so.3
flags='-std=gnu11 -O2 -g1 -Wall -Wextra -Werror -fPIC -shared'

build_probe() {
  [ "${1:-}" = probe ] || return 0
  "${CC:-cc}" -std=gnu11 -O2 -Wall -Wextra -Werror -pthread -o "$out/probe" "$here/probe.c" \
    -L"$out/lib64" -l:libvixDiskLib.so.8 -l:$tls
}

if [ -e "$library" ] && [ -z "$(find "$here" \( -name '*.[ch]' -o -name build.sh \) -newer "$library")" ]; then
  build_probe "${2:-}"
  exit 0
fi

mkdir -p "$out/lib64"
scratch=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# shellcheck disable=SC2086
{
  # No rpath and no symbolic binding, on purpose: both would hide a wrong way of loading.
  "${CC:-cc}" $flags -Wl,-soname,$tls -o "$scratch/$tls" "$here/tls.c" "$here/tls-self.c"
  cd "$here"
  "${CC:-cc}" $flags -fvisibility=hidden -pthread -Wl,-soname,libvixDiskLib.so.8 -o "$scratch/libvixDiskLib.so.8" \
    rules.c calls.c faults.c pace.c trace.c log.c config.c store.c library.c connection.c disk.c async.c blocks.c \
    -L"$scratch" -l:$tls
}

# Renames, so that a test that is loading the library never sees half of it; the one whose date counts goes last.
mv "$scratch/$tls" "$out/lib64/$tls"
mv "$scratch/libvixDiskLib.so.8" "$library"
build_probe "${2:-}"
