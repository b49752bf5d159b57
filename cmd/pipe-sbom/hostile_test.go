package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHostile: what an image may have, and what becomes of its SBOM.
func TestHostile(t *testing.T) {
	t.Parallel()
	outside := tempTree(t, map[string]string{"installed": "P:outside\nV:1\n", "package.json": `{"name":"outside","version":"1"}`})
	const good = "node_modules/good/package.json"
	checkFound(t, tempTree(t, map[string]string{
		good: `{"name":"good","version":"1"}`,
		// Links: out of the tree, to themselves, and to a directory above.
		"lib/apk/db/installed":            "-> " + outside + "/installed",
		"node_modules/out":                "-> " + outside,
		"node_modules/up":                 "-> ../..",
		"node_modules/loop":               "-> loop",
		"node_modules/in/package.json":    "-> " + outside + "/package.json",
		"etc/os-release":                  "-> /etc/os-release",
		"node_modules/long/package.json":  `{"name":"` + strings.Repeat("x", maxField+1) + `","version":"1"}`,
		"node_modules/deep/package.json":  strings.Repeat("[", 1<<20),
		"node_modules/types/package.json": `{"name":["x"],"version":{}}`,
	}), "good 1 pkg:npm/good@1")

	dir := tempTree(t, map[string]string{good: `{"name":"good","version":"1"}`, "var/lib/dpkg/": "", "node_modules/huge/": "", "node_modules/fifo/": ""})
	for _, name := range []string{"var/lib/dpkg/status", "node_modules/fifo/package.json"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sparse(t, filepath.Join(dir, "node_modules/huge/package.json"), 1<<40)
	sparse(t, filepath.Join(dir, "huge.jar"), 1<<40)
	checkFound(t, dir, "good 1 pkg:npm/good@1")
}

// sparse writes a file of a size that takes no space.
func sparse(t *testing.T, file string, size int64) {
	t.Helper()
	err := os.WriteFile(file, nil, 0o755)
	if err == nil {
		err = os.Truncate(file, size)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamaged: a database that cannot be read fails the scan, and the error names it.
func TestDamaged(t *testing.T) {
	t.Parallel()
	page := make([]byte, 8192) // a table that is its own child
	copy(page, "SQLite format 3\x00")
	page[16], page[17] = 0x10, 0
	page[100], page[104], page[111] = 5, 1, 1
	page[112], page[113] = 0x0f, 0
	for name, test := range map[string]struct{ file, content, want string }{
		"apk":          {"lib/apk/db/installed", "no database\n", "/lib/apk/db/installed: a package in it has no name or no version"},
		"apk, version": {"lib/apk/db/installed", "P:x\nV:" + strings.Repeat("1", maxField+1) + "\n", "or they are too long"},
		"dpkg":         {"var/lib/dpkg/status", "\x00\x01", "/var/lib/dpkg/status: "},
		"sqlite":       {"var/lib/rpm/rpmdb.sqlite", "SQLite format 3\x00", "/var/lib/rpm/rpmdb.sqlite: "},
		"loop":         {"var/lib/rpm/rpmdb.sqlite", string(page), "it is not a valid SQLite database"},
		"ndb":          {"usr/lib/sysimage/rpm/Packages.db", "RpmP", "/usr/lib/sysimage/rpm/Packages.db: "},
		"bdb":          {"var/lib/rpm/Packages", strings.Repeat("x", 9000), "/var/lib/rpm/Packages: "},
	} {
		if _, err := scan(t, tempTree(t, map[string]string{test.file: test.content}), ""); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: scan = %v, want %q", name, err, test.want)
		}
	}
	for _, name := range []string{"var/lib/dpkg/status", "lib/apk/db/installed", "var/lib/rpm/Packages"} {
		dir := tempTree(t, map[string]string{name: ""})
		sparse(t, filepath.Join(dir, name), maxDatabase+1)
		if _, err := scan(t, dir, ""); err == nil || !strings.Contains(err.Error(), "it has more than 1024 MiB") {
			t.Errorf("a huge %s: scan = %v", name, err)
		}
	}
}

// TestPackagesLimit: a database of too many packages is an error.
func TestPackagesLimit(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range maxPackages + 1 {
		fmt.Fprintf(&b, "P:p%d\nV:1\n\n", i)
	}
	if _, err := scan(t, tempTree(t, map[string]string{"lib/apk/db/installed": b.String()}), ""); err == nil || !strings.Contains(err.Error(), "the image has more than 100000 packages") {
		t.Errorf("scan = %v", err)
	}
}

// TestGuard: a scan that takes too long or too much memory is ended.
func TestGuard(t *testing.T) {
	for _, test := range []struct {
		longest time.Duration
		memory  uint64
		want    string
	}{
		{0, 1 << 62, "error: the scan was ended: it has not ended within 0s\n"},
		{time.Hour, 1 << 20, "error: the scan was ended: it needs more than 1 MiB of memory\n"},
	} {
		var stderr bytes.Buffer
		exited := make(chan int, 1)
		stop := guard(&stderr, test.longest, test.memory, func(status int) { exited <- status })
		if status := <-exited; status != 1 {
			t.Errorf("exit status %d", status)
		}
		stop()
		if stderr.String() != test.want {
			t.Errorf("stderr is %q, want %q", stderr.String(), test.want)
		}
	}
	stop := guard(&bytes.Buffer{}, time.Hour, 1<<62, func(int) { t.Error("a scan within its limits was ended") })
	stop()
}
