#!/usr/bin/env bash
# Makes the virtual environment that the format reader runs in, once per machine, in a cache folder outside of the checkout, and prints its Python.
#
# It lives in <cache>/tools/format-reader-<hash>, where the hash covers requirements.txt and the version of Python: changing either makes a new one.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${DORMOUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dormouse}/tools

die() { printf 'test/format-reader/build.sh: %s\n' "$*" >&2; exit 1; }

command -v python3 >/dev/null || die 'python3 is not on PATH; install Python 3.11 or newer'
version=$(python3 -c 'import sys; print(sys.version)') || die 'python3 does not run'
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "python3 is ${version%% *}, too old; install Python 3.11 or newer"
hash=$({ printf '%s\n' "$version"; cat "$here/requirements.txt"; } | sha256sum)
folder=$tools/format-reader-${hash:0:12}
python=$folder/bin/python

# Makes it beside the target and renames, so that a folder with the final name is always complete.
make_environment() {
  scratch=$(mktemp -d "$tools/.building-format-reader-XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  {
    python3 -m venv "$scratch/environment" &&
      "$scratch/environment/bin/python" -m pip install --quiet --only-binary :all: --no-deps --requirement "$here/requirements.txt"
  } >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; die 'the virtual environment could not be made, the words of venv and pip are above'; }
  mv -T "$scratch/environment" "$folder"
}

if [[ ! -x $python ]]; then
  mkdir -p "$tools"
  exec {lock}>"$tools/.format-reader.lock"
  flock -n "$lock" || { printf 'waiting for another build of the format reader\n' >&2; flock "$lock"; }
  [[ -x $python ]] || make_environment
fi
printf '%s\n' "$python"
