package eject

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDisks checks the file with the claims of disks, and that the README has the
// command that creates them and the keys of the Secrets.
func TestDisks(t *testing.T) {
	dir, p := workspace(t)
	out := filepath.Join(dir, "charts")
	if _, err := Write(t.Context(), p, Options{Workspace: dir, Cache: t.TempDir(), Dir: out}); err != nil {
		t.Fatal(err)
	}
	const want = `apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: uploads
spec:
  accessModes:
  - ReadWriteMany
  resources:
    requests:
      storage: 1Gi
  storageClassName: nfs
`
	got, err := os.ReadFile(filepath.Join(out, disksName))
	if err != nil || string(got) != want {
		t.Errorf("%s = %s, %v; want %s", disksName, got, err, want)
	}
	text, err := os.ReadFile(filepath.Join(out, readmeName))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kubectl --namespace shop-staging apply --filename disks.yaml", "url-jdbc", "tls.key"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the README does not contain %q:\n%s", want, text)
		}
	}
	out = filepath.Join(dir, "cache")
	if _, err := Write(t.Context(), p, Options{Workspace: dir, Cache: t.TempDir(), Dir: out, Services: []string{"off"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(out, disksName)); err == nil {
		t.Errorf("%s exists, but no service mounts a disk", disksName)
	}
}
