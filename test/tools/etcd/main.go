// The etcd behind the tests' kube-apiserver: upstream's server, built as a module of its own so that its version is pinned here.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
