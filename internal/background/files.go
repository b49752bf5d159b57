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

// prepare makes the folder, for its owner alone.
func (f files) prepare() error {
	if f.name == "" || f.name != filepath.Base(f.name) {
		return fmt.Errorf("%q is no name", f.name)
	}
	if !filepath.IsAbs(f.dir) {
		return fmt.Errorf("folder %q is not absolute", f.dir)
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	// Only the owner may do this: a folder that somebody else made is refused.
	return os.Chmod(f.dir, 0o700)
}

// open opens a file of a process. One that its owner may not read or write, which
// nobody wants, is given its mode again.
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
	// Notes are for whoever starts it: see [Activity.Note].
	Notes []string `json:"notes,omitempty"`
}

// write puts r into a file that is open, and that nobody else writes.
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

// read returns the record in a file if it is locked, so that it is of a live
// process; otherwise nil.
func read(path string) (*record, error) {
	alive, err := held(path)
	if err != nil || !alive {
		return nil, err
	}
	return parse(path)
}

// parse returns the record in a file, of whichever process, or nil.
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
		// It was locked, and died, and another one is writing; or it is damaged: a
		// process that lives writes it again.
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
