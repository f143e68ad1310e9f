package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vslm"
)

const user, password = "administrator@vsphere.local", "S3cret!"

// A stand-in with a logged-in client of govmomi's own.
type bench struct {
	*testing.T
	v       *vcenter
	server  *httptest.Server
	client  *govmomi.Client
	manager *vslm.GlobalObjectManager
}

func newBench(t *testing.T, limits sliceLimits) *bench {
	t.Helper()
	v, err := newVcenter(options{dataRoot: t.TempDir(), user: user, password: password, datastores: 1, limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(v.handler())
	t.Cleanup(func() { server.Close(); v.remove() })
	b := &bench{T: t, v: v, server: server}
	b.client = b.login(password)
	fcd, err := vslm.NewClient(context.Background(), b.client.Client)
	b.ok(err)
	b.manager = vslm.NewGlobalObjectManager(fcd)
	return b
}

func wide() sliceLimits { return sliceLimits{bytes: 8 * giB, areas: 2000} }

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) login(password string) *govmomi.Client {
	b.Helper()
	target, _ := url.Parse(b.server.URL + "/sdk")
	target.User = url.UserPassword(user, password)
	client, err := govmomi.NewClient(context.Background(), target, true)
	b.ok(err)
	return client
}

func (b *bench) disk(capacity int64, cbt bool) *diskState {
	b.Helper()
	made, err := b.v.addDisk(diskRequest{Name: "pvc-1", CapacityBytes: capacity, Cbt: cbt})
	b.ok(err)
	return made.(*diskState)
}

func (b *bench) write(d *diskState, offset int64, content []byte) {
	b.Helper()
	f, err := os.OpenFile(d.Path, os.O_WRONLY, 0)
	b.ok(err)
	defer f.Close()
	_, err = f.WriteAt(content, offset)
	b.ok(err)
}

func (b *bench) finish(task *vslm.Task, err error) types.AnyType {
	b.Helper()
	b.ok(err)
	result, err := task.Wait(context.Background(), time.Minute)
	b.ok(err)
	return result
}

func (b *bench) snapshot(d *diskState) string {
	b.Helper()
	task, err := b.manager.CreateSnapshot(context.Background(), types.ID{Id: d.ID}, "nightly")
	result := b.finish(task, err)
	return result.(types.ID).Id
}

func (b *bench) changeID(d *diskState, snapshot string) string {
	b.Helper()
	details, err := b.manager.RetrieveSnapshotDetails(context.Background(), types.ID{Id: d.ID}, types.ID{Id: snapshot})
	b.ok(err)
	return details.ChangedBlockTrackingId
}

func (b *bench) areas(d *diskState, snapshot, changeID string) []extent {
	b.Helper()
	info, err := b.manager.QueryChangedDiskAreas(context.Background(), types.ID{Id: d.ID}, types.ID{Id: snapshot}, 0, changeID)
	b.ok(err)
	var found []extent
	for _, area := range info.ChangedArea {
		found = append(found, extent{area.Start, area.Length})
	}
	return found
}

func (b *bench) deleteSnapshot(d *diskState, snapshot string) {
	b.Helper()
	task, err := b.manager.DeleteSnapshot(context.Background(), types.ID{Id: d.ID}, types.ID{Id: snapshot})
	b.finish(task, err)
}

// What the wire says, for the faults that govmomi's client cannot decode.
func (b *bench) call(path, body string) (int, string) {
	b.Helper()
	cookie := ""
	for _, c := range b.client.Jar.Cookies(b.client.URL()) {
		cookie = c.Value
	}
	envelope := `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Header><vcSessionCookie>` + cookie +
		`</vcSessionCookie></Header><Body>` + body + `</Body></Envelope>`
	answer, err := b.server.Client().Post(b.server.URL+path, "text/xml", strings.NewReader(envelope))
	b.ok(err)
	defer answer.Body.Close()
	var text bytes.Buffer
	_, err = text.ReadFrom(answer.Body)
	b.ok(err)
	return answer.StatusCode, text.String()
}

func (b *bench) faults(path, body string, wanted ...string) {
	b.Helper()
	status, text := b.call(path, body)
	for _, part := range wanted {
		if status != http.StatusInternalServerError || !strings.Contains(text, part) {
			b.Fatalf("got %d %s, want %s", status, text, part)
		}
	}
}

// The request for changed areas, spelled out.
func query(d *diskState, snapshot, start, changeID string) string {
	return `<VslmQueryChangedDiskAreas xmlns="urn:vslm"><_this type="VslmVStorageObjectManager">VStorageObjectManager</_this><id><id>` + d.ID +
		`</id></id><snapshotId><id>` + snapshot + `</id></snapshotId><startOffset>` + start + `</startOffset><changeId>` + changeID +
		`</changeId></VslmQueryChangedDiskAreas>`
}

func (b *bench) eventually(holds func() bool) {
	b.Helper()
	for range 200 {
		if holds() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.Fatal("it did not happen")
}
