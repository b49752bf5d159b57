// Package modules fetches the remote modules that a Pipelinefile loads, and
// pins them in its lock file. An evaluation reads the fetched modules, and
// never fetches anything itself (L1).
package modules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/atomicfile"
	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/plan"
)

// A Project is a Pipelinefile with the remote modules that it loads.
type Project struct {
	File  string // the Pipelinefile
	Root  string // the workspace, see interp.Workspace
	Cache string // the directory for fetched modules; created if necessary

	bounds bounds
}

// Cache returns the cache at dir in the form that an evaluation reads.
func Cache(dir string) fs.FS { return os.DirFS(dir) }

// LockFile returns the path of the lock file, which is next to the Pipelinefile.
func (p Project) LockFile() string { return p.File + lock.Suffix }

// A Module is a remote module of a project.
type Module struct {
	Name     string      `json:"module"`
	Commit   string      `json:"commit,omitempty"`   // of git
	Manifest plan.Digest `json:"manifest,omitempty"` // of OCI
	Digest   plan.Digest `json:"digest,omitempty"`   // of its content; empty: it is not pinned
	LoadedBy []string    `json:"loadedBy"`           // files of the workspace, and remote modules; none: it is no longer needed
	Fetched  bool        `json:"fetched"`            // it is in the cache and matches its pin
	Change   Change      `json:"change,omitempty"`   // what happened to its pin
	Was      string      `json:"was,omitempty"`      // the commit or manifest before it was updated
	Problem  string      `json:"problem,omitempty"`  // why it cannot be used as it is, see [Project.Verify]
}

// A Change is what happened to a pin.
type Change string

// The changes of pins.
const (
	Pinned  Change = "pinned"
	Updated Change = "updated"
)

// At returns what the module is pinned to: a commit or the digest of a manifest.
func (m Module) At() string { return at(lock.Pin{Commit: m.Commit, Manifest: m.Manifest}) }

func at(pin lock.Pin) string {
	if pin.Commit != "" {
		return pin.Commit
	}
	return string(pin.Manifest)
}

// Sync fetches the modules that the Pipelinefile loads, directly or indirectly, and
// that are not in the cache yet, as they are pinned. It pins modules that are not
// pinned, and removes pins that are no longer needed. The lock file is written last
// and atomically: an interrupted Sync does not change it.
func (p Project) Sync(ctx context.Context) ([]Module, error) {
	return p.sync(ctx, func(string) bool { return false })
}

// Update looks up the refs of the named modules again, or of all modules if
// none is named, and pins the result.
func (p Project) Update(ctx context.Context, names []string) ([]Module, error) {
	return p.sync(ctx, func(name string) bool { return len(names) == 0 || slices.Contains(names, name) })
}

func (p Project) sync(ctx context.Context, renew func(name string) bool) ([]Module, error) {
	s := store{p.Cache, p.bounds.orDefault()}
	if err := os.MkdirAll(p.Cache, 0o700); err != nil {
		return nil, err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	old, before, err := p.pins()
	if err != nil {
		return nil, err
	}
	pins := &lock.File{Version: lock.Version, Modules: map[string]lock.Pin{}}
	needed, err := p.walk(ctx, func(m lock.Module) (lock.Listing, error) {
		pin, known := old.Modules[m.String()]
		if known && !renew(m.String()) {
			pins.Modules[m.String()] = pin
			if listing, err := s.whole(ctx, pin.Digest); err == nil {
				return listing, nil
			}
		} else {
			pin = lock.Pin{}
		}
		got, files, err := s.fetch(ctx, m, pin)
		if err != nil {
			return nil, fmt.Errorf("fetch %s: %w", m, err)
		}
		listing, err := s.add(files)
		if err != nil {
			return nil, fmt.Errorf("store %s: %w", m, err)
		}
		got.Digest = plan.DigestOf(listing.Bytes())
		if pin.Digest != "" && got.Digest != pin.Digest {
			return nil, fmt.Errorf("fetch %s: %s has the content %s, but %s pins %s: to accept the change, run: pipe mod update %s",
				m, at(got), got.Digest, filepath.Base(p.LockFile()), pin.Digest, m)
		}
		pins.Modules[m.String()] = got
		return listing, nil
	})
	if err != nil {
		return nil, err
	}
	if data := pins.Bytes(); string(data) != string(before) && (len(pins.Modules) > 0 || before != nil) {
		dir, base := filepath.Split(p.LockFile())
		removeAll(dir, atomicfile.Left(base)) // left by a process that was killed while writing
		if err := atomicfile.Write(p.LockFile(), data, 0o644); err != nil {
			return nil, err
		}
	}
	out := merge(pins, needed)
	for i := range out {
		m := &out[i]
		m.Fetched = true
		was, known := old.Modules[m.Name]
		switch {
		case !known:
			m.Change = Pinned
		case was != pins.Modules[m.Name]:
			m.Change, m.Was = Updated, at(was)
		}
	}
	return out, nil
}

// pins reads the lock file; data is nil if there is none.
func (p Project) pins() (pins *lock.File, data []byte, err error) {
	data, err = os.ReadFile(p.LockFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	if pins, err = lock.Parse(data); err != nil {
		return nil, nil, fmt.Errorf("%s cannot be read: %w", p.LockFile(), err)
	}
	return pins, data, nil
}

// Verify returns the state of the project's modules on this machine: which are
// loaded, pinned and in the cache. It verifies the digests of all fetched files and
// makes no requests.
func (p Project) Verify(ctx context.Context) ([]Module, error) {
	pins, _, err := p.pins()
	if err != nil {
		return nil, err
	}
	s := store{dir: p.Cache}
	problems := map[string]string{}
	needed, err := p.walk(ctx, func(m lock.Module) (lock.Listing, error) {
		name := m.String()
		pin, ok := pins.Modules[name]
		if !ok {
			problems[name] = "it is not pinned"
			return nil, nil
		}
		listing, err := s.whole(ctx, pin.Digest)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			problems[name] = err.Error()
			return nil, nil
		}
		return listing, nil
	})
	if err != nil {
		return nil, err
	}
	out := merge(pins, needed)
	for i := range out {
		m := &out[i]
		m.Problem = problems[m.Name]
		if len(m.LoadedBy) == 0 {
			m.Problem = "nothing loads it"
		}
		m.Fetched = m.Problem == ""
	}
	return out, nil
}

// Read returns a file of a remote module from the cache, verified against its pin.
// The file is named as in a load statement. Read makes no requests.
func (p Project) Read(name string) ([]byte, error) {
	m, file, err := lock.ParseLoad(name)
	if err != nil {
		return nil, err
	}
	pins, _, err := p.pins()
	if err != nil {
		return nil, err
	}
	pin, ok := pins.Modules[m.String()]
	if !ok {
		return nil, fmt.Errorf("%s is not pinned in %s: load it in %s, and run: pipe mod sync", m, p.LockFile(), filepath.Base(p.File))
	}
	listing, err := lock.ReadListing(Cache(p.Cache), pin.Digest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: run: pipe mod sync", m, err)
	}
	d, ok := listing[file]
	if !ok {
		return nil, fmt.Errorf("%s has no file %s: it has %s", m, file, strings.Join(listing.Names(), ", "))
	}
	data, err := lock.ReadFile(Cache(p.Cache), d)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: run: pipe mod sync", name, err)
	}
	return data, nil
}

// merge returns the pinned and the needed modules, sorted by name.
func merge(pins *lock.File, needed map[string][]string) []Module {
	all := map[string]Module{}
	for name, pin := range pins.Modules {
		all[name] = Module{Name: name, Commit: pin.Commit, Manifest: pin.Manifest, Digest: pin.Digest, LoadedBy: []string{}}
	}
	for name, by := range needed {
		m := all[name]
		m.Name, m.LoadedBy = name, by
		all[name] = m
	}
	out := make([]Module, 0, len(all))
	for _, m := range all {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Module) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// fetch returns the files of a module as pinned, or its current files if pin is the
// zero value, and the resulting pin.
func (s store) fetch(ctx context.Context, m lock.Module, pin lock.Pin) (lock.Pin, map[string][]byte, error) {
	ctx, cancel := s.bounds.within(ctx)
	defer cancel()
	var files map[string][]byte
	var err error
	if m.OCI() {
		pin, files, err = fetchImage(ctx, m, pin)
	} else {
		pin, files, err = s.fetchGit(ctx, m, pin)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return pin, files, err
}
