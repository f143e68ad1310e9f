#!/usr/bin/env bash
# Builds the tools that the tests run against, once per machine, into a cache folder outside of the checkout.
#
#   build.sh                 builds every tool that is missing
#   build.sh NAME...         builds these (kube-apiserver, etcd, ...), see README.md
#   build.sh --path NAME     prints where NAME is, or says which command would put it there
#
# A tool lives in <cache>/tools/<name>-<hash>, where the hash covers its module's files, its link flags and the Go version:
# changing any of them builds anew, and two checkouts with different versions do not disturb each other.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${DORMOUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dormouse}/tools
default_names=(kube-apiserver kube-controller-manager kubectl etcd apiserver_receive_adapter knative-crds versitygw vcenter velero
  velero-plugin-for-aws gonet aws-sdk)

die() { printf 'test/tools/build.sh: %s\n' "$*" >&2; exit 1; }

# Sets module, package and version_flags for a tool; knative-crds is a folder of manifests and has no package.
describe() {
  version_flags=
  case $1 in
    kube-apiserver | kube-controller-manager | kubectl)
      module=k8s package=k8s.io/kubernetes/cmd/$1 version_flags=$(kubernetes_version_flags) ;;
    etcd) module=etcd package=. ;;
    apiserver_receive_adapter) module=knative package=knative.dev/eventing/cmd/apiserver_receive_adapter ;;
    queue) module=knative package=knative.dev/serving/cmd/queue ;;
    knative-crds) module=knative package= ;;
    versitygw) module=s3 package=github.com/versity/versitygw/cmd/versitygw ;;
    vcenter) module=vcenter package=. ;;
    gonet) module=gonet package=. ;;
    aws-sdk) module=aws package=. ;;
    velero)
      module=velero package=github.com/vmware-tanzu/velero/cmd/velero
      version_flags="-X github.com/vmware-tanzu/velero/pkg/buildinfo.Version=$(velero_version)" ;;
    velero-plugin-for-aws) module=velero package=github.com/vmware-tanzu/velero-plugin-for-aws/velero-plugin-for-aws ;;
    *) die "no tool is called '$1'; there are: ${default_names[*]} queue" ;;
  esac
}

# Without these an API server calls itself v0.0.0-master and Knative's processes refuse to work with it.
kubernetes_version_flags() {
  local version major minor prefix=k8s.io/component-base/version
  version=$(sed -n 's/^.*k8s\.io\/kubernetes \(v[0-9.]*\).*$/\1/p' "$here/k8s/go.mod")
  IFS=. read -r major minor _ <<<"${version#v}"
  printf '%s' "-X $prefix.gitVersion=$version -X $prefix.gitMajor=$major -X $prefix.gitMinor=$minor" \
    " -X $prefix.gitCommit=unknown -X $prefix.gitTreeState=clean -X $prefix.buildDate=1970-01-01T00:00:00Z"
}

# Without it the server calls itself nothing, and what it makes names images with the tag `latest`.
velero_version() {
  sed -n 's/^.*github\.com\/vmware-tanzu\/velero \(v[0-9.]*\).*$/\1/p' "$here/velero/go.mod"
}

# Asked for outside of any module, so that a too old Go says its own version and does not fetch a newer toolchain.
go_version() {
  command -v go >/dev/null || die 'go is not on PATH; install Go 1.26 or newer, see https://go.dev/doc/install'
  local version minor
  version=$(cd / && go env GOVERSION)
  [[ $version =~ ^go1\.([0-9]+) ]] || { printf '%s' "$version"; return; }
  minor=${BASH_REMATCH[1]}
  ((minor >= 26)) || die "go is ${version#go}, too old for these tools; install Go 1.26 or newer, see https://go.dev/doc/install"
  printf '%s' "$version"
}

need_go() { [[ -n ${go:-} ]] || go=$(go_version); }

folder_of() {
  local hash
  hash=$({
    printf '%s\n' "$go" "$package" "$version_flags"
    cd "$here/$module"
    find . -type f \( -name go.mod -o -name go.sum -o -name '*.go' \) ! -name '*_test.go' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  } | sha256sum)
  printf '%s' "$tools/$1-${hash:0:12}"
}

from_assets() {
  [[ -n ${KUBEBUILDER_ASSETS:-} && ($1 == kube-apiserver || $1 == etcd || $1 == kubectl) ]]
}

path_of() {
  if from_assets "$1"; then
    [[ -x $KUBEBUILDER_ASSETS/$1 ]] || die "KUBEBUILDER_ASSETS is set to $KUBEBUILDER_ASSETS, which has no $1; put it there or unset the variable"
    realpath "$KUBEBUILDER_ASSETS/$1"
    return
  fi
  describe "$1"
  need_go
  local folder
  folder=$(folder_of "$1")
  [[ -e $folder/$1 ]] || die "$1 is not built; run: test/tools/build.sh $1"
  printf '%s\n' "$folder/$1"
}

# The knative module only pins the versions: the manifests are files beside the code in its dependencies.
# One chain of &&, as the caller's "if" switches errexit off in here.
copy_crds() { # target folder
  local eventing serving
  eventing=$(module_folder knative.dev/eventing) && serving=$(module_folder knative.dev/serving) &&
    mkdir -p "$1/eventing" "$1/serving" &&
    cp "$eventing"/config/core/resources/*.yaml "$1/eventing/" &&
    cp "$serving"/config/core/300-resources/*.yaml "$1/serving/" &&
    chmod -R u+w "$1"
}

module_folder() {
  cd "$here/knative" && go mod download "$1" && go list -m -f '{{.Dir}}' "$1"
}

compile() { # target file
  cd "$here/$module" &&
    CGO_ENABLED=0 GOFLAGS=-mod=readonly nice -n 10 \
      go build -trimpath -buildvcs=false -ldflags "-s -w $version_flags" -o "$1" "$package"
}

make_into() { # name, target
  if [[ -z $package ]]; then copy_crds "$2"; else compile "$2"; fi
}

# Builds beside the target and renames, so that a folder with the final name is always complete.
build() {
  from_assets "$1" && return
  describe "$1"
  need_go
  local folder scratch started=$SECONDS
  folder=$(folder_of "$1")
  [[ -e $folder/$1 ]] && return
  mkdir -p "$tools"
  exec {lock}>"$tools/.$1.lock"
  flock -n "$lock" || { printf 'waiting for another build of %s\n' "$1"; flock "$lock"; }
  if [[ ! -e $folder/$1 ]]; then
    printf 'building %s … ' "$1"
    scratch=$(mktemp -d "$tools/.building-$1-XXXXXX")
    # shellcheck disable=SC2064 # the folder's name is wanted now
    trap "rm -rf '$scratch'" EXIT
    if ! (make_into "$1" "$scratch/$1") >"$scratch/log" 2>&1; then
      printf 'failed after %s s\n' $((SECONDS - started))
      cat "$scratch/log" >&2
      die "$1 could not be built, Go's own words are above"
    fi
    rm "$scratch/log"
    chmod 755 "$scratch"
    mv -T "$scratch" "$folder"
    printf '%s s\n' $((SECONDS - started))
  fi
  exec {lock}>&-
}

if [[ ${1:-} == --path ]]; then
  [[ $# -eq 2 ]] || die 'usage: build.sh --path NAME'
  path_of "$2"
  exit
fi
[[ ${1:-} != -* ]] || die "no option '$1'; usage: build.sh [--path] [NAME...]"
names=("$@")
[[ $# -gt 0 ]] || names=("${default_names[@]}")
for name in "${names[@]}"; do describe "$name"; done
for name in "${names[@]}"; do build "$name"; done
