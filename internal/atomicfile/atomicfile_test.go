package atomicfile_test

import (
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
