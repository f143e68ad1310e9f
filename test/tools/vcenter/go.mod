module dormouse.test/tools/vcenter

go 1.25.0

require (
	github.com/google/uuid v1.6.0
	github.com/vmware/govmomi v0.55.1
	golang.org/x/sys v0.46.0
)

require golang.org/x/text v0.38.0 // indirect
