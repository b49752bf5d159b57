package chartspec

import "github.com/pipelinefile/pipe/plan"

// defaultName is the name of the user and of the database in a server.
const defaultName = "app"

// DatabaseName returns the name of the database in the server.
func (e Engine) DatabaseName(d *plan.DatabaseSpec) string {
	switch {
	case d.Name != "":
		return d.Name
	case e.Scheme == "redis":
		return "0"
	}
	return defaultName
}

// UserName returns the name of the user whose credentials services get.
func (e Engine) UserName(d *plan.DatabaseSpec) string {
	switch {
	case e.User != "":
		return e.User
	case d != nil && d.User != "":
		return d.User
	}
	return defaultName
}
