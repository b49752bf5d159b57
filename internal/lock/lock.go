// Package lock pins the remote modules of a Pipelinefile. It defines their names in
// load(…), the format of Pipelinefile.lock, and how their content is stored, so that
// evaluation reads exactly the pinned content.
package lock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/pipelinefile/pipe/plan"
)

// Version is the version of the format of a lock file.
const Version = 1

// Suffix is appended to the name of a Pipelinefile for the name of its lock file.
const Suffix = ".lock"

// A File is a lock file. The keys of Modules are their names, such as
// "git+https://example.com/lib@v1.2.3".
type File struct {
	Version int            `json:"version"`
	Modules map[string]Pin `json:"modules"`
}

// A Pin is the content that a remote module is pinned to.
type Pin struct {
	Commit   string      `json:"commit,omitempty"`   // of git: the full hash
	Manifest plan.Digest `json:"manifest,omitempty"` // of OCI
	Digest   plan.Digest `json:"digest"`             // of the listing of its files, see [Listing]
}

// Parse parses a lock file. Empty data is a lock file without pins.
func Parse(data []byte) (*File, error) {
	f := &File{Version: Version, Modules: map[string]Pin{}}
	if len(bytes.TrimSpace(data)) == 0 {
		return f, nil
	}
	var v struct{ Version int }
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
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
		return nil, errors.New("there is data after its end")
	}
	for name, pin := range f.Modules {
		if err := pin.check(name); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (p Pin) check(name string) error {
	m, err := ParseModule(name)
	switch {
	case err != nil:
		return err
	case !p.Digest.Valid():
		return fmt.Errorf("%s has no valid digest, such as sha256:…", name)
	case m.OCI() && !p.Manifest.Valid():
		return fmt.Errorf("%s has no valid digest of its manifest, such as sha256:…", name)
	case !m.OCI() && !isCommit(p.Commit):
		return fmt.Errorf("%s has no full commit hash", name)
	}
	return nil
}

// Bytes returns the lock file in its canonical form: the same content has the same bytes,
// and each module has its own lines, so that changes can be merged easily.
func (f *File) Bytes() []byte {
	data, _ := json.MarshalIndent(f, "", "  ") // sorts by name; maps of strings cannot fail
	return append(data, '\n')
}
