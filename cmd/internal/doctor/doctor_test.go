package doctor

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/internal/mirrors"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/watch"
)

// TestFiles: what watch mode would find is told, with what to set if that is too low.
func TestFiles(t *testing.T) {
	limits := func(watches, instances int) []watch.Limit {
		return []watch.Limit{
			{Name: watch.MaxWatches, Value: watches, Used: 8000, Need: 300, Fitting: 65536},
			{Name: watch.MaxInstances, Value: instances, Used: 40, Need: 1, Fitting: 256},
		}
	}
	for name, tt := range map[string]struct {
		survey watch.Surveyed
		want   Finding
	}{
		"enough": {watch.Surveyed{Directories: 300, Limits: limits(524288, 128)}, Finding{State: OK,
			Text: "directories that watch mode watches here: 300; fs.inotify.max_user_watches is 524288, of which 8000 are used; fs.inotify.max_user_instances is 128, of which 40 are used"}},
		"low": {watch.Surveyed{Directories: 300, Limits: limits(8192, 40)}, Finding{State: Warning,
			Text: "directories that watch mode watches here: 300; fs.inotify.max_user_watches is 8192, of which 8000 are used; fs.inotify.max_user_instances is 40, of which 40 are used",
			Next: "directories beyond the limits are polled; raise them with: sysctl -w fs.inotify.max_user_watches=65536 && sysctl -w fs.inotify.max_user_instances=256"}},
		"none": {watch.Surveyed{Directories: 3, Limits: limits(0, 0)}, Finding{State: OK, Text: "directories that watch mode watches here: 3"}},
		"silent": {watch.Surveyed{Directories: 3, Silent: []watch.Mount{{Path: "/mnt/c", Type: "9p"}}}, Finding{State: Warning,
			Text: "directories that watch mode watches here: 3\n/mnt/c is on 9p, which does not report changes; it is polled",
			Next: "move the workspace to a local disk, so that changes are seen sooner"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := files(t.Context(), Options{Survey: func() (watch.Surveyed, error) { return tt.survey, nil }})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	got := files(t.Context(), Options{Survey: func() (watch.Surveyed, error) { return watch.Surveyed{}, errors.New("watch /x: it is not a directory") }})
	if got.State != Failed || got.Text != "watch /x: it is not a directory" {
		t.Errorf("files() = %+v", got)
	}
}

// TestDisk: a home that cannot be made is a failure that names it.
func TestDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f := disk(t.Context(), Options{Local: local.Options{Home: filepath.Join(file, "home")}})
	if f.State != Failed || !strings.Contains(f.Text, file) || !strings.Contains(f.Next, "PIPE_HOME") {
		t.Errorf("disk = %+v", f)
	}
	home := filepath.Join(t.TempDir(), "home")
	if f := disk(t.Context(), Options{Local: local.Options{Home: home}}); f.State != OK {
		t.Errorf("disk = %+v", f)
	}
	if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// TestElsewhere: what registries.conf says is shown, and mirrors that do not answer.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answers := l.Addr().String()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := gone.Addr().String()
	gone.Close()
	home := t.TempDir()
	file := mirrors.File(home)
	mirror := func(at string) string {
		return "[[registry]]\nprefix = \"docker.io\"\n[[registry.mirror]]\nlocation = \"" + at + "/hub\"\n"
	}
	for _, row := range []struct {
		text string
		want Finding
	}{
		{"", Finding{State: OK, Text: "no registry is read from elsewhere, which " + file + " could say"}},
		{mirror(answers), Finding{State: OK, Text: "docker.io is read from " + answers + "/hub, then docker.io"}},
		{mirror(silent), Finding{State: Warning,
			Text: "docker.io is read from " + silent + "/hub, then docker.io\nmirror " + silent + "/hub of docker.io: dial tcp " + silent + ": connect: connection refused",
			Next: "correct it in " + file + ", or make it answer; until then the next place is read"}},
		{"[[registry]]\nprefix = \"quay.io\"\nlocation = \"" + answers + "/quay\"\n", Finding{State: OK, Text: "quay.io is read from " + answers + "/quay"}},
		{"[[registry]]\nprefix = \"quay.io\"\nlocation = \"" + silent + "/quay\"\n", Finding{State: Warning,
			Text: "quay.io is read from " + silent + "/quay\nlocation " + silent + "/quay of quay.io: dial tcp " + silent + ": connect: connection refused",
			Next: "correct it in " + file + ", or make it answer; until then images of quay.io can only be read from its mirrors, if it has some"}},
		{"[registry]\n", Finding{State: Failed, Text: file + ":1:2: [registry] is written with two brackets", Next: "write [[registry]]"}},
	} {
		if err := os.WriteFile(file, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := elsewhere(t.Context(), Options{Local: local.Options{Home: home}})
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", row.text, diff)
		}
	}
}

// TestBuilder: each builder is shown, and one of several that does not answer is a warning.
func TestBuilder(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	answers, one, two := "tcp://"+l.Addr().String(), "unix://"+filepath.Join(dir, "one"), "unix://"+filepath.Join(dir, "two")
	says := func(addr string) string {
		path := strings.TrimPrefix(addr, "unix://")
		return "builder " + addr + ": dial unix " + path + ": connect: no such file or directory"
	}
	for _, row := range []struct {
		addrs []string
		want  Finding
	}{
		{[]string{answers}, Finding{State: OK, Text: answers}},
		{[]string{answers, answers}, Finding{State: OK, Text: answers + "\n" + answers}},
		{[]string{one, answers}, Finding{State: Warning, Text: says(one) + "\n" + answers,
			Next: "start buildkitd there, or omit the address; until then the others build"}},
		{[]string{one, two}, Finding{State: Failed, Text: says(one) + "\n" + says(two),
			Next: "start buildkitd there, or choose another builder with --buildkit"}},
	} {
		got := builder(t.Context(), Options{Local: local.Options{BuildKit: row.addrs}})
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", row.addrs, diff)
		}
	}
}
