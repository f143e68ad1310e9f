package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/vmware/govmomi/cns"
	cnssim "github.com/vmware/govmomi/cns/simulator"
	"github.com/vmware/govmomi/pbm"
	_ "github.com/vmware/govmomi/pbm/simulator"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vslm"
	vslmsim "github.com/vmware/govmomi/vslm/simulator"
)

// govmomi's simulator with what it lacks.
type vcenter struct {
	model    *simulator.Model
	service  *simulator.Service
	dataRoot string
	limits   sliceLimits
	plans    *plans

	mu    sync.Mutex // guards the disks, their fields, and the simulator's catalog
	disks map[string]*disk

	loginMu  sync.Mutex
	user     string
	password string
}

type options struct {
	dataRoot   string
	user       string
	password   string
	datastores int
	limits     sliceLimits
}

func newVcenter(o options) (*vcenter, error) {
	model := simulator.VPX()
	model.ServiceContent.About.Version = "8.0.3"
	model.ServiceContent.About.ApiVersion = "8.0.3.0"
	model.Host, model.ClusterHost, model.Machine = 0, 1, 1
	model.Autostart = false
	model.Datastore = o.datastores
	if err := createBelow(o.dataRoot, model); err != nil {
		return nil, err
	}
	v := &vcenter{
		model: model, service: model.Service, dataRoot: o.dataRoot, limits: o.limits,
		plans: newPlans(), disks: map[string]*disk{}, user: o.user, password: o.password,
	}
	v.listenNowhere()
	v.replaceObjects()
	return v, v.linkDatastores()
}

// The simulator keeps its datastores in a folder of its own, which it makes below TMPDIR.
func createBelow(folder string, model *simulator.Model) error {
	before := os.Getenv("TMPDIR")
	defer os.Setenv("TMPDIR", before)
	if err := os.Setenv("TMPDIR", folder); err != nil {
		return err
	}
	return model.Create()
}

// The simulator sets itself up when it starts to listen. Its own server has neither our certificate nor our checks, so it
// is closed at once, and main serves the same handlers.
func (v *vcenter) listenNowhere() {
	v.service.RegisterEndpoints = true
	v.service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.User("checked-by-validLogin")}
	server := v.service.NewServer()
	server.Close()
	v.service.Context.Map.SessionManager().ValidLogin = v.validLogin
}

func (v *vcenter) replaceObjects() {
	vim := v.vim().Map
	vim.Put(&vimManager{vim.VStorageObjectManager(), v})
	vim.Handler = v.before

	fcd := v.service.Context.For(vslm.Path).Map
	for _, found := range fcd.AllReference("VslmVStorageObjectManager") {
		fcd.Put(&vslmManager{found.(*vslmsim.VStorageObjectManager), v})
	}
	fcd.Handler = v.before

	volumes := v.service.Context.For(cns.Path).Map
	volumes.Put(&cnsManager{volumes.Get(cns.CnsVolumeManagerInstance).(*cnssim.CnsVolumeManager), v})
	volumes.Handler = v.before

	v.service.Context.For(pbm.Path).Map.Handler = v.before
}

// Lets everyone find a datastore's files by its reference, as VDDK names it: <dataRoot>/datastore-59/fcd.
func (v *vcenter) linkDatastores() error {
	for _, found := range v.vim().Map.All("Datastore") {
		datastore := found.(*simulator.Datastore)
		folder, err := filepath.Rel(v.dataRoot, datastore.Summary.Url)
		if err != nil {
			return err
		}
		link := filepath.Join(v.dataRoot, datastore.Self.Value)
		_ = os.Remove(link) // an earlier run that was killed has left its own, which leads nowhere
		if err := os.Symlink(folder, link); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(link, "fcd"), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// Removes the disks and all other files that the simulator has made.
func (v *vcenter) remove() {
	for _, found := range v.vim().Map.All("Datastore") {
		_ = os.Remove(filepath.Join(v.dataRoot, found.Reference().Value))
	}
	v.model.Remove()
}

func (v *vcenter) validLogin(login *types.Login) bool {
	v.loginMu.Lock()
	defer v.loginMu.Unlock()
	return login.UserName == v.user && login.Password == v.password
}

func (v *vcenter) setPassword(password string) {
	v.loginMu.Lock()
	defer v.loginMu.Unlock()
	v.password = password
}

// The only calls that a vCenter answers without a session.
var anonymous = map[string]bool{
	"RetrieveServiceContent": true, "PbmRetrieveServiceContent": true,
	"Login": true, "LoginByToken": true, "LoginExtensionByCertificate": true, "CloneSession": true,
}

// Is asked before every SOAP call.
func (v *vcenter) before(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	if ctx.Session != nil && ctx.Session.UserName == "" {
		return nil, nil // the simulator calls itself
	}
	v.plans.count(method.Name)
	if ctx.Session == nil && !anonymous[method.Name] {
		return nil, &types.NotAuthenticated{NoPermission: types.NoPermission{Object: &method.This, PrivilegeId: "System.View"}}
	}
	if fault := v.plans.callFault(method.Name); fault != nil {
		return nil, fault
	}
	if !isTask(method.Name) {
		time.Sleep(v.plans.delay(method.Name))
	}
	if method.This.Type == vimManagerRef.Type {
		method.This = vimManagerRef
		return v.vim().Map.Get(vimManagerRef), nil
	}
	return nil, nil
}

// The delay of these is the task's, see start.
func isTask(method string) bool {
	switch method {
	case "CnsCreateVolume", "CnsDeleteVolume", "CnsExtendVolume":
		return true
	}
	return method != plainName(method)
}

// A view of the session manager with the list of sessions, for which the simulator wants somebody's session.
func (v *vcenter) sessionManager() *simulator.SessionManager {
	vim := v.vim().Map
	nobody := simulator.Session{Registry: simulator.NewRegistry(), Map: vim}
	return nobody.Get(*v.model.ServiceContent.SessionManager).(*simulator.SessionManager)
}

func (v *vcenter) sessions() []types.UserSession { return v.sessionManager().SessionList }

func (v *vcenter) expireSessions() {
	manager := v.sessionManager()
	ctx := v.vim()
	ctx.Session = &simulator.Session{}
	for _, session := range manager.SessionList {
		manager.TerminateSession(ctx, &types.TerminateSession{SessionId: []string{session.Key}})
	}
}

func (v *vcenter) hasSession(request *http.Request) bool {
	cookie, err := request.Cookie("vmware_soap_session")
	if err != nil {
		return false
	}
	for _, session := range v.sessions() {
		if session.Key == cookie.Value {
			return true
		}
	}
	return false
}
