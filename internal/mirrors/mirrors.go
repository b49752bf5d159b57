// Package mirrors reads registries.conf, the file that says which registries are read from
// elsewhere. It is the format of version 2 of containers-registries.conf(5), as far as BuildKit
// and containerd can follow it, too: whole registries are replaced, not parts of them.
package mirrors

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// File returns the path of the file in a home directory of pipe.
func File(home string) string { return filepath.Join(home, "registries.conf") }

// A Place is where the repositories of a registry are.
type Place struct {
	Host string // with the port, if any
	Path string // that the names of all repositories begin with; usually empty
}

func (p Place) String() string { return path.Join(p.Host, p.Path) }

// A Registry is a registry that is read from elsewhere.
type Registry struct {
	Host     string // that images name
	Mirrors  []Place
	Location Place // is asked after the mirrors; usually Host itself
}

// Replaced reports whether the registry itself is never read.
func (r Registry) Replaced() bool { return r.Location != Place{Host: r.Host} }

// Places returns where the registry is read, in the order in which it is tried.
func (r Registry) Places() []Place { return append(slices.Clone(r.Mirrors), r.Location) }

func (r Registry) String() string {
	var all []string
	for _, p := range r.Places() {
		all = append(all, p.String())
	}
	return r.Host + " is read from " + strings.Join(all, ", then ")
}

// A Config is what a file says.
type Config struct {
	Registries []Registry // in the order of the file
}

// Registry returns how a registry is read.
func (c Config) Registry(host string) (Registry, bool) {
	host = canonical(host)
	for _, r := range c.Registries {
		if r.Host == host {
			return r, true
		}
	}
	return Registry{}, false
}

// canonical returns the one name of a registry that has several.
func canonical(host string) string {
	switch host = strings.ToLower(host); host {
	case "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}

// Endpoint returns the host that serves the images of a registry.
func Endpoint(host string) string {
	if host == "docker.io" {
		return "registry-1.docker.io"
	}
	return host
}

// IsLoopback reports whether a host, with its port if any, is this machine: its registry is
// read without TLS.
func IsLoopback(host string) bool {
	alone, _, err := net.SplitHostPort(host)
	if err != nil {
		alone = strings.Trim(host, "[]")
	}
	ip := net.ParseIP(alone)
	return alone == "localhost" || ip != nil && ip.IsLoopback()
}

// An Error is a mistake in a file.
type Error struct {
	File      string
	Line, Col int
	Message   string
	Hint      string // what to write instead
}

// Next returns what to do about an error of Read.
func Next(err error) string {
	var wrong *Error
	if errors.As(err, &wrong) {
		return wrong.Hint
	}
	return "make the file readable, or remove it"
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Message) }

// maxSize is the maximum size of a file.
const maxSize = 1 << 20

// Read reads a file. One that does not exist, or whose name is empty, says nothing. A mistake
// in it is an *Error.
func Read(file string) (Config, error) {
	if file == "" {
		return Config{}, nil
	}
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Config{}, nil
	case err != nil:
		return Config{}, err
	case !info.Mode().IsRegular():
		return Config{}, fmt.Errorf("%s is not a file", file)
	case info.Size() > maxSize:
		return Config{}, fmt.Errorf("%s has more than %d MiB", file, maxSize>>20)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return Config{}, err
	}
	return parse(file, data)
}
