package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/cns"
	"github.com/vmware/govmomi/pbm"
	"github.com/vmware/govmomi/vslm"
)

// What a vCenter's HTTP side does and the simulator's does not: it serves no other paths, wants a login for files too, quotes the
// session cookie, and names some faults of /vslm/sdk with their package. And it breaks connections when a test wants that.
func (v *vcenter) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/folder/"):
			v.serveFile(w, r)
		case r.URL.Path == "/sdk/vimServiceVersions.xml" || r.URL.Path == "/sdk/vsanServiceVersions.xml":
			v.service.ServeMux.ServeHTTP(w, r)
		case soapPaths[r.URL.Path]:
			v.serveSOAP(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

var soapPaths = map[string]bool{"/sdk": true, "/sdk/vimService": true, vslm.Path: true, cns.Path: true, pbm.Path: true, "/pbm/sdk": true}

func (v *vcenter) serveFile(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	v.loginMu.Lock()
	known := user == v.user && password == v.password
	v.loginMu.Unlock()
	if !known && !v.hasSession(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="VMware HTTP server"`)
		http.Error(w, "401 Unauthorized", http.StatusUnauthorized)
		return
	}
	v.service.ServeMux.ServeHTTP(w, r)
}

func (v *vcenter) serveSOAP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/pbm/sdk" { // both names are in use
		r.URL.Path = pbm.Path
	}
	request, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(request))
	planned := v.plans.transportFault(methodIn(request))
	if planned == "Reset" {
		panic(http.ErrAbortHandler) // breaks the connection
	}
	if status, ok := strings.CutPrefix(planned, "HTTP:"); ok {
		code, _ := strconv.Atoi(status)
		http.Error(w, http.StatusText(code), code)
		return
	}
	answer := httptest.NewRecorder()
	v.service.ServeMux.ServeHTTP(answer, r)
	if planned == "LostAnswer" {
		panic(http.ErrAbortHandler)
	}
	body := answer.Body.Bytes()
	if r.URL.Path == vslm.Path {
		body = faultType.ReplaceAll(body, []byte(`${1}vmodl.fault.$2"`))
	}
	for name, values := range answer.Header() {
		for _, value := range values {
			w.Header().Add(name, sessionCookie.ReplaceAllString(value, `vmware_soap_session="$1"; Path=/; Secure`))
		}
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(answer.Code)
	_, _ = w.Write(body)
}

var (
	sessionCookie = regexp.MustCompile(`^vmware_soap_session=([^;"]*)`)
	// The faults of the package vmodl; those of vim have no prefix.
	faultType = regexp.MustCompile(`(:type=")(InvalidArgument|InvalidRequest|ManagedObjectNotFound|MethodNotFound|NotSupported|RequestCanceled|SecurityError|SystemError)"`)
)

// The name of the element in a SOAP request's body.
func methodIn(request []byte) string {
	decoder := xml.NewDecoder(bytes.NewReader(request))
	inBody := false
	for {
		token, err := decoder.Token()
		if err != nil {
			return ""
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if inBody {
			return start.Name.Local
		}
		inBody = start.Name.Local == "Body"
	}
}
