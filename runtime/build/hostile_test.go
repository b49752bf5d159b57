//go:build linux

package build_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pipelinefile/pipe/runtime"
)

// TestBuildPrintsMuch runs a command that prints a gigabyte and fails: the events are bounded, and
// the error has its last words.
func TestBuildPrintsMuch(t *testing.T) {
	dir := workspace(t, files{"web/Dockerfile": shell + "RUN head -c 1000000000 /dev/zero; echo; echo the end; exit 3\n", "web/busybox": ""})
	r, err := fails(t, newBuilder(t, dir), spec("web"), images(t)+"/web:1")
	var wrong *runtime.BuildError
	if !errors.As(err, &wrong) || !strings.HasSuffix(err.Error(), "exit status 3") || len(wrong.Log) == 0 || wrong.Log[len(wrong.Log)-1] != "the end" {
		t.Errorf("Build = %v, want exit status 3 after \"the end\"", err)
	}
	printed := 0
	for _, line := range r.lines() {
		printed += len(line)
	}
	if printed > 32<<20 {
		t.Errorf("%d bytes of a gigabyte were reported, want the builder's limit", printed)
	}
}

// TestBuildSpecialFiles builds a context with a socket, a pipe, a device and links out of it: none
// of them is in the image except the links, which lead nowhere there.
func TestBuildSpecialFiles(t *testing.T) {
	dir := workspace(t, files{
		"web/Dockerfile": "FROM scratch\nCOPY . /all/\n", "web/x": "x", "secret": "outside",
		"web/up": "-> ../secret", "web/passwd": "-> /etc/passwd", "web/etc": "-> /etc", "web/loop": "-> loop",
		"linked/Dockerfile": "FROM scratch\nCOPY up /\n", "linked/up": "-> ../secret",
		"through/Dockerfile": "FROM scratch\nCOPY host/passwd /\n", "through/host": "-> /etc",
		"missing/Dockerfile": "FROM scratch\nCOPY socket /\n",
	})
	for _, in := range []string{"web", "missing"} {
		l, err := net.Listen("unix", filepath.Join(dir, in, "socket"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	if err := mkfifo(filepath.Join(dir, "web/pipe")); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := syscall.Mknod(filepath.Join(dir, "web/null"), syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
			t.Logf("without a device: %v", err)
		}
	}
	host, b := images(t), newBuilder(t, dir)
	mustBuild(t, b, spec("web"), host+"/web:1")
	image := pull(t, host+"/web:1")
	modes := modesOf(t, image)
	for name, want := range map[string]string{"all/x": "644 ", "all/up": "777 ../secret", "all/passwd": "777 /etc/passwd", "all/etc": "777 /etc", "all/loop": "777 loop"} {
		if modes[name] != want {
			t.Errorf("%s has %q, want %q", name, modes[name], want)
		}
	}
	for _, name := range []string{"all/socket", "all/pipe", "all/null"} {
		if mode, ok := modes[name]; ok {
			t.Errorf("%s is in the image, with %q", name, mode)
		}
	}
	for source, want := range map[string]string{
		"linked":  "COPY up /: /up is not there: it is not in the build context, or a line of .dockerignore leaves it out",
		"through": "COPY host/passwd /: /host/passwd is not there: it is not in the build context, or a line of .dockerignore leaves it out",
		"missing": "COPY socket /: /socket is not there: it is not in the build context, or a line of .dockerignore leaves it out",
	} {
		ref := host + "/" + source + ":1"
		if _, err := b.Build(t.Context(), spec(source), ref, func(runtime.Body) {}); err == nil {
			t.Errorf("%s: the image has %q", source, listImage(t, pull(t, ref)))
		} else if err.Error() != want {
			t.Errorf("%s: Build = %v\nwant %s", source, err, want)
		}
	}
}
