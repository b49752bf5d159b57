package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/runtime/local"
)

// TestFiles: limits of file watches that are low are a warning that says what to set.
func TestFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		watches, instances string
		want               Finding
	}{
		"enough": {"524288\n", "1024\n", Finding{State: OK, Text: "max_user_watches 524288, max_user_instances 1024"}},
		"low": {"8192\n", "128\n", Finding{State: Warning, Text: "max_user_watches 8192, max_user_instances 128",
			Next: "--watch may miss changes in a large workspace: sysctl fs.inotify.max_user_watches=65536 fs.inotify.max_user_instances=256"}},
		"absent": {"", "", Finding{State: OK, Text: "this system has no limit of file watches that can be read"}},
	} {
		t.Run(name, func(t *testing.T) {
			proc := t.TempDir()
			dir := filepath.Join(proc, "sys", "fs", "inotify")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for file, text := range map[string]string{"max_user_watches": tt.watches, "max_user_instances": tt.instances} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, files(context.Background(), Options{Proc: proc})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
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
