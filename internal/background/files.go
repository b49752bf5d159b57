package background

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// files are those of one process: see the package comment.
type files struct{ dir, name string }

func (f files) path(ext string) string { return filepath.Join(f.dir, f.name+ext) }
func (f files) start() string          { return f.path(".start") }
func (f files) lock() string           { return f.path(".lock") }
func (f files) addr() string           { return f.path(".addr") }
func (f files) use() string            { return f.path(".use") }
func (f files) log() string            { return f.path(".log") }

// prepare creates the directory, accessible only to its owner.
func (f files) prepare() error {
	if f.name == "" || f.name != filepath.Base(f.name) {
		return fmt.Errorf("invalid name %q", f.name)
	}
	if !filepath.IsAbs(f.dir) {
		return fmt.Errorf("directory %q is not absolute", f.dir)
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	// This fails for a directory of another user.
	return os.Chmod(f.dir, 0o700)
}

// open opens a file of a process. If its owner cannot read or write it, its mode is
// restored.
func open(path string, flags int) (*os.File, error) {
	file, err := os.OpenFile(path, flags, 0o600)
	if errors.Is(err, fs.ErrPermission) && os.Chmod(path, 0o600) == nil {
		file, err = os.OpenFile(path, flags, 0o600)
	}
	return file, err
}

// A record is what a process writes about itself.
type record struct {
	PID     int    `json:"pid"`
	Version string `json:"version"`
	Addr    string `json:"addr,omitempty"`
	Error   string `json:"error,omitempty"` // why it ended, in NAME.lock
	// Notes are messages for the caller that starts it: see [Activity.Note].
	Notes []string `json:"notes,omitempty"`
}

// write writes r to an open file that no other process writes.
func (r record) write(file *os.File) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err = file.WriteAt(append(data, '\n'), 0)
	return err
}

// read returns the record in a file if the file is locked, so that the record belongs to
// a live process; otherwise nil.
func read(path string) (*record, error) {
	alive, err := held(path)
	if err != nil || !alive {
		return nil, err
	}
	return parse(path)
}

// parse returns the record in a file, of a live or dead process, or nil.
func parse(path string) (*record, error) {
	file, err := open(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	var r record
	if json.Unmarshal(data, &r) != nil || r.PID == 0 {
		// The process died, and another one is writing the file; or it is damaged, and a
		// live process will write it again.
		return nil, nil
	}
	return &r, nil
}

// attach returns the process if it can be used, otherwise nil.
func (f files) attach() (*Attached, error) {
	use, err := tryLock(f.use(), shared)
	if err != nil || use == nil {
		return nil, err // nil: it is about to end
	}
	r, err := read(f.addr())
	if err != nil || r == nil {
		use.unlock()
		return nil, err
	}
	return &Attached{Addr: r.Addr, PID: r.PID, Version: r.Version, Notes: r.Notes, use: use}, nil
}
