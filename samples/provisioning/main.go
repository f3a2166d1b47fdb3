// Provisioning sets up new devices: one orchestration for the whole delivery and
// one sub-orchestration for each device, which waits, for days if it must, until
// the device itself reports that it has downloaded its installation package.
//
// A sub-orchestration is an orchestration of its own: it can be started alone,
// has its own status and history, and fails or is retried as one step.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/durafunc/durafunc/plugins/durable"
)

func main() {
	app := durable.NewApp("provisioning")
	durable.Orchestrator(app, "ProvisionNewDevices", ProvisionNewDevices)
	durable.Orchestrator(app, "DeviceProvisioningOrchestration", ProvisionDevice)
	durable.Activity(app, "GetNewDeviceIds", GetNewDeviceIDs)
	durable.Activity(app, "CreateInstallationPackage", CreateInstallationPackage)
	durable.Activity(app, "SendPackageUrlToDevice", SendPackageURLToDevice)
	app.Serve()
}

// Request is the input of ProvisionNewDevices; without one, five devices are set up.
type Request struct {
	Devices    int `json:"devices"`
	AckSeconds int `json:"ackSeconds"` // how long a device has; 0: three days
}

// Report is what ProvisionNewDevices returns.
type Report struct {
	Devices  int       `json:"devices"`
	Receipts []Receipt `json:"receipts"`
}

// ProvisionNewDevices fans out one sub-orchestration per device and waits for all.
func ProvisionNewDevices(ctx *durable.OrchestrationContext, in Request) (Report, error) {
	if in.Devices == 0 {
		in.Devices = 5
	}
	ids, err := durable.CallActivity[[]string](ctx, "GetNewDeviceIds", in.Devices).Await()
	if err != nil {
		return Report{}, err
	}
	flows := make([]durable.Task[Receipt], len(ids))
	for i, id := range ids {
		device := Device{ID: id, AckSeconds: in.AckSeconds}
		flows[i] = durable.CallSubOrchestrator[Receipt](ctx, "DeviceProvisioningOrchestration", device)
	}
	receipts, err := durable.WhenAll(ctx, flows...).Await()
	return Report{Devices: len(ids), Receipts: receipts}, err
}

// Device is the input of DeviceProvisioningOrchestration.
type Device struct {
	ID         string `json:"device"`
	AckSeconds int    `json:"ackSeconds"`
}

// Package is where a device finds what it is to install. It is also the custom
// status of its orchestration, for anyone who looks while it waits.
type Package struct {
	Device string `json:"device"`
	URL    string `json:"packageUrl"`
}

// Ack is what a device sends with the event DownloadCompletedAck.
type Ack struct {
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Receipt says how the provisioning of one device ended.
type Receipt struct {
	Device      string    `json:"device"`
	Provisioned bool      `json:"provisioned"`
	Problem     string    `json:"problem,omitempty"`
	Ack         *Ack      `json:"ack,omitempty"`
	At          time.Time `json:"at"`
}

// ProvisionDevice is DeviceProvisioningOrchestration: make the package, tell the
// device, wait for its word. A device that stays silent gets a receipt that says
// so, and does not spoil the delivery to the others.
func ProvisionDevice(ctx *durable.OrchestrationContext, in Device) (Receipt, error) {
	pkg, err := durable.CallActivity[Package](ctx, "CreateInstallationPackage", in.ID).Await()
	if err != nil {
		return Receipt{}, err
	}
	if err := ctx.SetCustomStatus(pkg); err != nil {
		return Receipt{}, err
	}
	retry := durable.WithRetry(durable.RetryPolicy{FirstRetryInterval: time.Second, MaxNumberOfAttempts: 5, BackoffCoefficient: 2})
	if _, err := durable.CallActivity[bool](ctx, "SendPackageUrlToDevice", pkg, retry).Await(); err != nil {
		return Receipt{}, err
	}

	patience := 72 * time.Hour
	if in.AckSeconds > 0 {
		patience = time.Duration(in.AckSeconds) * time.Second
	}
	ack, err := durable.WaitForExternalEvent[Ack](ctx, "DownloadCompletedAck", durable.WithTimeout(patience)).Await()
	if errors.Is(err, durable.ErrTimeout) {
		return Receipt{Device: in.ID, Problem: "no DownloadCompletedAck within " + patience.String(), At: ctx.CurrentUTCDateTime()}, nil
	}
	return Receipt{Device: in.ID, Provisioned: err == nil, Ack: &ack, At: ctx.CurrentUTCDateTime()}, err
}

// GetNewDeviceIDs asks the inventory for devices that nobody has set up yet.
func GetNewDeviceIDs(_ context.Context, n int) ([]string, error) {
	if n < 1 || n > 10_000 {
		return nil, durable.NonRetriable(fmt.Errorf("devices is %d, it must be 1 to 10000", n))
	}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("device-%03d", i+1)
	}
	return ids, nil
}

// CreateInstallationPackage builds a device's package and stores it with the host,
// which serves it under a URL that needs no credentials and expires.
func CreateInstallationPackage(ctx context.Context, device string) (Package, error) {
	body := fmt.Appendf(nil, "#!/bin/sh\necho 'welcome, %s'\n", device)
	url, err := durable.Client(ctx).PutFile(ctx, device+".sh", body, "text/x-shellscript")
	return Package{Device: device, URL: url}, err
}

// SendPackageURLToDevice would push the URL to the device, over MQTT for instance;
// here the device reads it from the custom status.
func SendPackageURLToDevice(ctx context.Context, pkg Package) (bool, error) {
	durable.Logger(ctx).Info("package is ready", "device", pkg.Device, "url", pkg.URL)
	return true, nil
}
