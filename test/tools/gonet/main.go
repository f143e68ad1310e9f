// Gonet answers rows of input as the Go programs of the field would: one JSON object per line in, one per line out, in order.
//
//	{"kind": "proxy", "url": …}                              the proxy that net/http takes, "direct", or an error
//	{"kind": "tls", "address": …, "host": …, "ca": …, …}     a handshake with crypto/tls: "accepted" or "refused" with the reason
//
// The anchors are taken as Velero's plugin for AWS takes them (the system's and caCert), or, with "only", as govmomi's
// SetRootCAs does (caCert alone). The variables for proxies and SSL_CERT_FILE are those of the process: Go reads them once.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

type row struct {
	Kind    string `json:"kind"`
	URL     string `json:"url"`
	Address string `json:"address"`
	Host    string `json:"host"`
	CA      string `json:"ca"`
	Only    bool   `json:"only"`
}

type answer struct {
	Answer string `json:"answer"`
	Why    string `json:"why,omitempty"`
}

func main() {
	rows := bufio.NewScanner(os.Stdin)
	rows.Buffer(nil, 16<<20)
	out := json.NewEncoder(os.Stdout)
	for rows.Scan() {
		var r row
		if err := json.Unmarshal(rows.Bytes(), &r); err != nil {
			panic(err)
		}
		if err := out.Encode(answerTo(r)); err != nil {
			panic(err)
		}
	}
}

func answerTo(r row) answer {
	switch r.Kind {
	case "proxy":
		return proxy(r)
	case "tls":
		return handshake(r)
	}
	return answer{"unknown", r.Kind}
}

func proxy(r row) answer {
	request, err := http.NewRequest(http.MethodGet, r.URL, nil)
	if err != nil {
		return answer{"error", err.Error()}
	}
	found, err := http.ProxyFromEnvironment(request)
	if err != nil {
		return answer{"error", err.Error()}
	}
	if found == nil {
		return answer{Answer: "direct"}
	}
	return answer{found.Scheme + "://" + addressOf(found), found.User.String()}
}

// The port as net/http's Transport completes it.
func addressOf(proxy *url.URL) string {
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[proxy.Scheme]
	}
	return net.JoinHostPort(proxy.Hostname(), port)
}

// The transport is cloned from Go's default as both plugins' SDKs do, so its limits on versions and ciphers count.
func handshake(r row) answer {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: anchors(r), ServerName: r.Host}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	connection, err := tls.DialWithDialer(dialer, "tcp", r.Address, transport.TLSClientConfig)
	if err != nil {
		return answer{"refused", err.Error()}
	}
	connection.Close()
	return answer{Answer: "accepted"}
}

func anchors(r row) *x509.CertPool {
	pool := x509.NewCertPool()
	if !r.Only {
		system, err := x509.SystemCertPool()
		if err == nil {
			pool = system
		}
	}
	pool.AppendCertsFromPEM([]byte(r.CA))
	return pool
}
