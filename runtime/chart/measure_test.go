package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
)

// zeros reads as so many zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// archive packs files of the given sizes, and others as they are.
func archive(t *testing.T, sizes map[string]int64, others map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	packed, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	files := tar.NewWriter(packed)
	add := func(name string, size int64, data io.Reader) {
		if err := files.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(files, data, size); err != nil {
			t.Fatal(err)
		}
	}
	for name, size := range sizes {
		add(name, size, zeros{})
	}
	for name, data := range others {
		add(name, int64(len(data)), bytes.NewReader(data))
	}
	if err := errors.Join(files.Close(), packed.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestMeasure: a chart with more files than any needs, or with archives in it that
// unpack to more than it may have, is refused before Helm loads it.
func TestMeasure(t *testing.T) {
	head := map[string][]byte{"web/Chart.yaml": []byte("apiVersion: v2\nname: web\nversion: 1.2.3\n")}
	many := map[string]int64{}
	for i := range maxFiles {
		many[fmt.Sprintf("web/templates/%d.yaml", i)] = 0
	}
	inner := archive(t, map[string]int64{"sub/big": 70 << 20}, nil)
	nested := map[string][]byte{"web/Chart.yaml": head["web/Chart.yaml"]}
	for i := range 3 {
		nested[fmt.Sprintf("web/charts/sub%d.tgz", i)] = inner
	}
	deep := archive(t, nil, map[string][]byte{"a/charts/b.tgz": archive(t, many, nil)})
	for _, tt := range []struct {
		name, want string
		data       []byte
	}{
		{"many files", "it has more than 10000 files", archive(t, many, head)},
		{"bombs", "its files are larger than 200 MiB together", archive(t, nil, nested)},
		{"deep", "it has more than 10000 files", archive(t, nil, map[string][]byte{"web/charts/a.tgz": deep, "web/Chart.yaml": head["web/Chart.yaml"]})},
		{"no archive", "gzip", []byte("no archive")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "web.tgz"), tt.data, 0o666); err != nil {
				t.Fatal(err)
			}
			address, _ := repository(t, map[string][]byte{"web": tt.data})
			for _, ref := range []plan.Chart{{Ref: "web.tgz"}, {Ref: "web", Repo: address, Version: "1.2.3"}} {
				if _, err := NewShelf(dir, t.TempDir()).Chart(t.Context(), service(ref), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Chart %s = %v, want %s", ref.Ref, err, tt.want)
				}
			}
		})
	}
}

// TestMeasureDirectory: what .helmignore leaves out does not count, what is in the
// archives of dependencies does, and links that go in circles end.
func TestMeasureDirectory(t *testing.T) {
	dir := t.TempDir()
	writeChart(t, dir, "web", map[string]string{".helmignore": "node_modules/\n", "node_modules/a": "a", "node_modules/b": "b", "charts/sub.tgz": string(archive(t, map[string]int64{"sub/a": 1, "sub/b": 1}, nil))})
	all := newRoom("")
	if err := all.dir(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	used := maxFiles - all.files
	if err := (&room{used, maxBytes, dir, ""}).dir(t.Context(), dir); err != nil {
		t.Errorf("room for all files: %v", err)
	}
	if err := (&room{used - 1, maxBytes, dir, ""}).dir(t.Context(), dir); err == nil || err.Error() != "it has more than 10000 files" {
		t.Errorf("too little room = %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := newRoom(dir).dir(ctx, dir); !errors.Is(err, why) {
		t.Errorf("with a context that has ended = %v", err)
	}
	if err := os.Symlink(".", filepath.Join(dir, "circle")); err != nil {
		t.Fatal(err)
	}
	if err := newRoom(dir).dir(t.Context(), dir); err == nil {
		t.Error("a circle of links is not an error")
	}
}
