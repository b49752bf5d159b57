package build_test

import (
	"archive/tar"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"testing"
)

// contextFiles is how many files the context of TestBuildManyFiles has; "make large" has a million.
var contextFiles = flag.Int("files", 10_000, "how many files the context of TestBuildManyFiles has")

// TestBuildManyFiles builds a context of many files: all of them are in the image, another process
// that identifies it finds the same image, and the memory that is in use afterwards does not grow
// much with their number.
func TestBuildManyFiles(t *testing.T) {
	const inDirectory = 1000
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY all /all\n"})
	for i := range *contextFiles {
		in := filepath.Join(dir, "web/all", fmt.Sprint(i/inDirectory))
		if i%inDirectory == 0 {
			if err := os.MkdirAll(in, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(in, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	host, b := images(t), newBuilder(t, dir)
	ref := host + "/web:1"
	mustBuild(t, b, spec("web"), ref)
	var memory goruntime.MemStats
	goruntime.GC()
	goruntime.ReadMemStats(&memory)
	if most := uint64(128<<20 + *contextFiles*1024); memory.HeapAlloc > most {
		t.Errorf("%d MiB of memory are in use after the build, want at most %d", memory.HeapAlloc>>20, most>>20)
	}
	built := 0
	walkImage(t, pull(t, ref), func(h *tar.Header, _ io.Reader) {
		if h.Typeflag == tar.TypeReg {
			built++
		}
	})
	if built != *contextFiles {
		t.Errorf("the image has %d files, want %d", built, *contextFiles)
	}
	before, err := b.Identify(t.Context(), spec("web"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := newBuilder(t, dir).Identify(t.Context(), spec("web"))
	if err != nil || again != before {
		t.Errorf("identity %v, %v again, want %v", again, err, before)
	}
}
