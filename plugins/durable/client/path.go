package client

import "net/url"

// StartPath is the path of the start of an orchestration, for Do; an empty id lets the
// hub choose.
func StartPath(name, id string) string {
	path := BasePath + "/orchestrators/" + url.PathEscape(name)
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	return path
}

// InstancePath is the path of an instance, or of an operation on it when more is given,
// for Do: InstancePath(id, "raiseEvent", "Approved").
func InstancePath(id string, more ...string) string {
	path := instancesPath + "/" + url.PathEscape(id)
	for _, m := range more {
		path += "/" + url.PathEscape(m)
	}
	return path
}

const instancesPath = BasePath + "/instances"
