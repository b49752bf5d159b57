//go:build linux

package daemon

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
)

// fill makes BuildKit build an image, to fill the cache.
func fill(t *testing.T, addr string) {
	t.Helper()
	c, err := client.New(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	def, err := llb.Scratch().File(llb.Mkfile("/file", 0o600, bytes.Repeat([]byte("content"), 1000))).Marshal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Solve(t.Context(), def, client.SolveOpt{Exports: []client.ExportEntry{{
		Type:   client.ExporterOCI,
		Output: func(map[string]string) (io.WriteCloser, error) { return discard{}, nil },
	}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// Whatever part of the cache is damaged, and however, BuildKit starts and builds, and reports
// that it starts with an empty cache. Without damage it does not report that.
func TestDamagedCache(t *testing.T) {
	whole := Background{Home: t.TempDir()}
	addr, _ := start(t, whole)
	fill(t, addr)
	if err := whole.Process().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	size := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	write := func(path string, from, to int64) {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.WriteAt(bytes.Repeat([]byte("garbage!"), int(to-from)/8), from); err != nil {
			t.Fatal(err)
		}
	}
	truncate := func(n func(int64) int64) func(string) {
		return func(path string) {
			if err := os.Truncate(path, n(size(path))); err != nil {
				t.Fatal(err)
			}
		}
	}
	const killed, ended = true, false
	empty, half := truncate(func(int64) int64 { return 0 }), truncate(func(n int64) int64 { return n / 2 })
	garbage := func(path string) { write(path, 0, size(path)) }
	pages := func(path string) { write(path, 8192, size(path)) } // the first two contain the number of pages
	remove := func(path string) {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		file   string
		how    string
		damage func(path string)
		killed bool
	}{
		{"cache.db", "empty", empty, ended},
		{"cache.db", "half", half, ended},
		{"history.db", "garbage", garbage, ended},
		{"cache.db", "pages", pages, killed},
		{"runc-*/containerdmeta.db", "empty", empty, ended},
		{"runc-*/containerdmeta.db", "half", half, killed},
		{"runc-*/containerdmeta.db", "garbage", garbage, ended},
		{"runc-*/containerdmeta.db", "pages", pages, ended},
		{"runc-*/metadata_v2.db", "half", half, ended},
		{"runc-*/metadata_v2.db", "pages", pages, killed},
		{"runc-*/snapshots/metadata.db", "garbage", garbage, ended},
		{"runc-*/snapshots/metadata.db", "empty", empty, killed},
		{"runc-*/workerid", "empty", empty, ended},
		{"runc-*/content/blobs/sha256/*", "empty", empty, ended},
		{"runc-*/content/blobs/sha256/*", "half", half, ended},
		{"runc-*/content/blobs/sha256/*", "gone", remove, ended},
		{"runc-*/snapshots/snapshots/*", "gone", remove, ended},
		{"", "nothing", nil, ended},
		{"", "nothing", nil, killed},
	} {
		end := map[bool]string{killed: " after a crash", ended: ""}[row.killed]
		t.Run(strings.ReplaceAll(row.file, "/", ":")+" "+row.how+end, func(t *testing.T) {
			b := Background{Home: t.TempDir()}
			if out, err := exec.Command("cp", "-a", filepath.Join(whole.Home, "buildkit"), b.Home).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			root := filepath.Join(b.Home, "buildkit", "root")
			if row.killed {
				if err := os.WriteFile(began(root), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if row.file != "" {
				found, err := filepath.Glob(filepath.Join(root, row.file))
				if err != nil || len(found) == 0 {
					t.Fatalf("there is no %s: %v", row.file, err)
				}
				row.damage(found[0])
			}
			a, err := b.Ensure(t.Context())
			if err != nil {
				unavailable(t, err)
			}
			defer func() {
				a.Release()
				if err := b.Process().Stop(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			told := len(a.Notes) == 1 && strings.HasPrefix(a.Notes[0], "its cache was damaged, as by a full disk or a power cut (") && strings.HasSuffix(a.Notes[0], "): it begins with an empty one")
			if told != (row.file != "") {
				t.Errorf("notes = %q", a.Notes)
			}
			fill(t, a.Addr)
			if err := run(t.Context(), t, a.Addr, nil, "true"); err != nil {
				t.Error(err)
			}
		})
	}
}
