// Package lock says which remote modules a Pipelinefile is pinned to: how they
// are named in load(…), what Pipelinefile.lock looks like, and how their
// content is kept, so that evaluation reads exactly what was pinned.
package lock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/pipelinefile/pipe/plan"
)

// Version is the version of the format of a lock file.
const Version = 1

// Suffix is what a lock file's name has more than that of its Pipelinefile.
const Suffix = ".lock"

// A File is a lock file. Modules are by their name, such as
// "git+https://example.com/lib@v1.2.3".
type File struct {
	Version int            `json:"version"`
	Modules map[string]Pin `json:"modules"`
}

// A Pin is what a remote module is pinned to.
type Pin struct {
	Commit   string      `json:"commit,omitempty"`   // of git, in full
	Manifest plan.Digest `json:"manifest,omitempty"` // of OCI
	Digest   plan.Digest `json:"digest"`             // of the listing of its files, see [Listing]
}

// Parse reads a lock file. Empty data is a lock file that pins nothing.
func Parse(data []byte) (*File, error) {
	f := &File{Version: Version, Modules: map[string]Pin{}}
	if len(bytes.TrimSpace(data)) == 0 {
		return f, nil
	}
	var v struct{ Version int }
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	if v.Version != Version {
		return nil, fmt.Errorf("it has version %d, and this pipe reads version %d", v.Version, Version)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after its end")
	}
	for name, pin := range f.Modules {
		if err := pin.check(name); err != nil {
			return nil, err
		}
	}
	return f, nil
}

var (
	digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	commit = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
)

func (p Pin) check(name string) error {
	m, err := ParseModule(name)
	switch {
	case err != nil:
		return err
	case !digest.MatchString(string(p.Digest)):
		return fmt.Errorf("%s has no digest such as sha256:…", name)
	case m.OCI() && !digest.MatchString(string(p.Manifest)):
		return fmt.Errorf("%s has no digest of its manifest such as sha256:…", name)
	case !m.OCI() && !commit.MatchString(p.Commit):
		return fmt.Errorf("%s has no commit with all its digits", name)
	}
	return nil
}

// Bytes returns the lock file as it is written: the same content has the same
// bytes, a module is some lines of its own, so that changes merge well.
func (f *File) Bytes() []byte {
	data, _ := json.MarshalIndent(f, "", "  ") // sorts by name; texts in maps cannot fail
	return append(data, '\n')
}
