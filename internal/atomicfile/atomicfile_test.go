package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/pipelinefile/pipe/internal/atomicfile"
)

// TestWrite checks that a file is written with its mode, whatever was there, and that no
// other files are left.
func TestWrite(t *testing.T) {
	for name, before := range map[string]func(path string) error{
		"nothing":      func(string) error { return nil },
		"a file":       func(path string) error { return os.WriteFile(path, []byte("longer than before"), 0o400) },
		"a directory":  func(path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) },
		"a dead link":  func(path string) error { return os.Symlink("missing", path) },
		"another link": func(path string) error { return os.Symlink(filepath.Dir(path), path) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			path := filepath.Join(dir, "file")
			if name != "nothing" {
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := before(path); err != nil {
				t.Fatal(err)
			}
			if err := atomicfile.Write(path, []byte("text"), 0o640); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(path)
			if err != nil || string(data) != "text" {
				t.Errorf("it has %q, %v", data, err)
			}
			if info, err := os.Lstat(path); err != nil || info.Mode() != 0o640 {
				t.Errorf("its mode is %v, %v", info.Mode(), err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("beside it: %v, %v", entries, err)
			}
			if info, err := os.Stat(dir); err != nil || name == "nothing" && info.Mode().Perm() != 0o700 {
				t.Errorf("its directory: %v, %v", info.Mode(), err)
			}
		})
	}
}

// TestWriteFails checks that a failed write leaves no files.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(filepath.Join(dir, "file", "below"), nil, 0o600); err == nil {
		t.Error("a file was written below a file")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// TestCreate: a new file has all of its content, an existing one is not touched, and no
// temporary file is left.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new")
	if err := atomicfile.Create(path, []byte("one"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Create(path, []byte("two"), 0o644); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of an existing file = %v, want %v", err, fs.ErrExist)
	}
	if err := atomicfile.Create(filepath.Join(dir, "missing", "new"), nil, 0o644); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Create in a missing directory = %v, want %v", err, fs.ErrNotExist)
	}
	data, err := os.ReadFile(path)
	entries, e := os.ReadDir(dir)
	if string(data) != "one" || len(entries) != 1 || err != nil || e != nil {
		t.Errorf("the file has %q, the directory %d entries, %v, %v", data, len(entries), err, e)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
