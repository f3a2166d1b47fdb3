package host

import (
	"github.com/durafunc/durafunc/bindings/files"
	"github.com/durafunc/durafunc/host/httpapi"
	"github.com/durafunc/durafunc/host/mux"
)

// newMux routes everything that this host serves over HTTP. What has to stand before all
// of it, such as a check of keys, joins the chain; it has to let /admin/host/ping through
// without a key (F§7.3).
func (h *Host) newMux() *mux.Mux {
	log := h.opts.Log.Named("http")
	api := httpapi.New(httpapi.Options{
		Client: h.hub, Host: &admin{h}, TaskHub: h.opts.Config.DurableTask.HubName,
		UnknownFunctionsAtOnce: h.opts.Config.DurableTask.FunctionNotFoundTimeout == 0,
		MaxPayloadBytes:        h.opts.Config.DurableTask.MaxPayloadBytes, Version: h.opts.Version, Log: log,
	})
	m := mux.New(api, httpapi.Recover(log))
	m.Mount(httpapi.BasePath+"/", api)
	m.Mount(httpapi.AdminPath+"/", api)
	m.Mount(files.Path, h.files.Handler(h.opts.Log.Named("files")))
	return m
}
