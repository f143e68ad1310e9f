// The vCenter that Dormouse's tests talk to: govmomi's simulator, to which this program lends what it lacks. Snapshots hold data,
// changed areas are true, and tests can let calls fail or take their time. See ../README.md for what it is strict about.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

type flags struct {
	options
	listen, certFile, keyFile string
	parentPid                 int
	verbose                   bool
}

func main() {
	f, err := parse(os.Args[1:], os.Getenv)
	if err == nil {
		err = run(f)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "vcenter: %v\n", err)
		os.Exit(1)
	}
}

func parse(args []string, env func(string) string) (flags, error) {
	f := flags{}
	set := flag.NewFlagSet("vcenter", flag.ExitOnError)
	set.StringVar(&f.listen, "listen", "127.0.0.1:0", "address for HTTPS; port 0 takes a free one")
	set.StringVar(&f.user, "user", fallback(env("VCENTER_USER"), "administrator@vsphere.local"), "the only account (VCENTER_USER)")
	set.StringVar(&f.password, "password", env("VCENTER_PASSWORD"), "its password, required (VCENTER_PASSWORD)")
	set.StringVar(&f.dataRoot, "data", "", "folder for the disks' files; without it a temporary one that is removed at the end")
	set.StringVar(&f.certFile, "tls-cert", "", "PEM file; made in the data folder when it does not exist")
	set.StringVar(&f.keyFile, "tls-key", "", "PEM file; made in the data folder when it does not exist")
	set.IntVar(&f.parentPid, "parent-pid", 0, "end when this process has ended")
	set.IntVar(&f.datastores, "datastores", 1, "number of datastores")
	set.Int64Var(&f.limits.bytes, "slice-bytes", 8*giB, "how much of a disk one answer about changed areas covers")
	set.IntVar(&f.limits.areas, "slice-areas", 2000, "how many areas one such answer has at most")
	set.BoolVar(&f.verbose, "verbose", false, "write the simulator's own log to stderr")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	switch {
	case set.NArg() > 0:
		return f, fmt.Errorf("unexpected argument %q", set.Arg(0))
	case f.password == "":
		return f, errors.New("no password: give -password or VCENTER_PASSWORD")
	case f.limits.bytes < grain || f.limits.bytes%grain != 0:
		return f, fmt.Errorf("-slice-bytes has to be a multiple of %d", grain)
	case f.limits.areas < 1 || f.datastores < 1:
		return f, errors.New("-slice-areas and -datastores have to be at least 1")
	}
	return f, nil
}

func fallback(value, otherwise string) string {
	if value != "" {
		return value
	}
	return otherwise
}

func run(f flags) error {
	ended, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if !f.verbose {
		log.SetOutput(io.Discard)
	}
	if f.dataRoot == "" {
		made, err := os.MkdirTemp("", "dormouse-vcenter-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(made)
		f.dataRoot = made
	}
	root, err := prepare(f.dataRoot)
	if err != nil {
		return err
	}
	f.dataRoot = root
	identity, err := certificate(fallback(f.certFile, filepath.Join(root, "cert.pem")), fallback(f.keyFile, filepath.Join(root, "key.pem")))
	if err != nil {
		return err
	}
	v, err := newVcenter(f.options)
	if err != nil {
		return err
	}
	defer v.remove()
	ready, failed, err := v.serve(f, identity)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		return err
	}
	select {
	case <-ended.Done():
		return nil
	case <-orphaned(f.parentPid):
		return nil
	case err := <-failed:
		return err
	}
}

func prepare(folder string) (string, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	return filepath.Abs(folder)
}

// The one line on stdout: where everything is.
type readyLine struct {
	URL              string `json:"url"`
	CertFile         string `json:"certFile"`
	ThumbprintSHA1   string `json:"thumbprintSha1"`
	ThumbprintSHA256 string `json:"thumbprintSha256"`
	User             string `json:"user"`
	DataRoot         string `json:"dataRoot"`
	Control          string `json:"control"`
	Pid              int    `json:"pid"`
}

func (v *vcenter) serve(f flags, identity tls.Certificate) (readyLine, <-chan error, error) {
	public, err := net.Listen("tcp", f.listen)
	if err != nil {
		return readyLine{}, nil, err
	}
	side, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return readyLine{}, nil, err
	}
	quiet := log.New(io.Discard, "", 0)
	soap := &http.Server{
		Handler:   v.handler(),
		ErrorLog:  quiet,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{identity}, MinVersion: tls.VersionTLS12},
		// No HTTP/2: a vCenter speaks 1.1 with SOAP clients.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	failed := make(chan error, 2)
	go func() { failed <- soap.ServeTLS(public, "", "") }()
	go func() { failed <- (&http.Server{Handler: v.control(), ErrorLog: quiet}).Serve(side) }()
	viaSHA1, viaSHA256 := thumbprints(identity)
	return readyLine{
		URL:              "https://" + public.Addr().String() + "/sdk",
		CertFile:         fallback(f.certFile, filepath.Join(v.dataRoot, "cert.pem")),
		ThumbprintSHA1:   viaSHA1,
		ThumbprintSHA256: viaSHA256,
		User:             v.user,
		DataRoot:         v.dataRoot,
		Control:          "http://" + side.Addr().String(),
		Pid:              os.Getpid(),
	}, failed, nil
}

// Tells when a process has ended, by looking twice a second; a signal at the parent's death would depend on the thread that
// started this program.
func orphaned(parent int) <-chan struct{} {
	gone := make(chan struct{})
	if parent == 0 {
		return gone
	}
	child := os.Getppid() == parent
	go func() {
		for (!child || os.Getppid() == parent) && unix.Kill(parent, 0) != unix.ESRCH {
			time.Sleep(500 * time.Millisecond)
		}
		close(gone)
	}()
	return gone
}
