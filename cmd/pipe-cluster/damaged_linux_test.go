package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// Contents of damaged files: from a full disk, a power failure, and others.
var damages = []string{"", "{", "\x00\x00\x00\x00", "null", "{}", "[1]"}

func damage(t *testing.T, d home.Dir, file, text string) {
	t.Helper()
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.Path(file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// oneLine checks that a command has reported exactly once how it handled a damaged file.
func oneLine(t *testing.T, errs string, d home.Dir, file, what string) {
	t.Helper()
	want := "pipe-cluster: read " + d.Path(file) + ": the file is damaged" + what + "\n"
	if strings.Count(errs, "damaged") != 1 || !strings.Contains(errs, want) {
		t.Errorf("the command said %q, want one line %q", errs, want)
	}
}

// TestDamagedStopped damages the files of a cluster that is not running.
func TestDamagedStopped(t *testing.T) {
	for _, text := range damages {
		d := home.Dir(filepath.Join(t.TempDir(), "cluster"))
		damage(t, d, "cluster.json", text)
		out, errs, code := pipeCluster(t, "status", "--dir", string(d))
		if code != 1 || !strings.HasPrefix(out, "stopped\n") {
			t.Errorf("%q: status %d, %q", text, code, out)
		}
		oneLine(t, errs, d, "cluster.json", ": ignored, because the cluster has no data yet")

		// Data without a kubeconfig: the address of the cluster is unknown.
		damage(t, d, "etcd", "")
		what := ", and no kubeconfig has the address of the cluster: restore the file, " +
			"or remove the cluster and its data with `pipe-cluster down --dir " + string(d) + "`"
		if out, _, code = pipeCluster(t, "status", "--dir", string(d)); code != 1 || !strings.HasPrefix(out, "broken\nwhy ") || !strings.Contains(out, what) {
			t.Errorf("%q: status %d, %q", text, code, out)
		}
		_, errs, code = pipeCluster(t, "up", "--node", "simulated", "--dir", string(d))
		oneLine(t, errs, d, "cluster.json", what)
		if code != 1 {
			t.Errorf("%q: up ended with status %d", text, code)
		}
		_, errs, code = pipeCluster(t, "down", "--keep-data", "--dir", string(d))
		oneLine(t, errs, d, "cluster.json", what)
		if code != 1 {
			t.Errorf("%q: down --keep-data ended with status %d", text, code)
		}
		must(t, "down", "--dir", string(d))
		if _, err := os.Stat(string(d)); !os.IsNotExist(err) {
			t.Errorf("%q: %s is still there: %v", text, d, err)
		}
	}
}

// TestDamaged damages the files of a cluster with a simulated node, while it is running and while it is
// not: its data is kept, and its address does not change.
func TestDamaged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	d := home.Dir(dir)
	t.Cleanup(func() { pipeCluster(t, "down", "--dir", dir) })
	c := up(t, dir, "--node", "simulated")
	c.keep(t)
	before, _, err := d.ReadConfig()
	if err != nil {
		t.Fatal(err)
	}
	const fromList, fromKubeconfigs = ": read from the list of processes instead", ": read from the kubeconfigs instead"

	t.Run("state while it runs", func(t *testing.T) {
		supervisor, child := c.pid(t, "supervisor"), c.pid(t, "control-plane")
		sendSignal(t, supervisor, syscall.SIGSTOP) // it would write the file again
		for _, text := range damages {
			damage(t, d, "state.json", text)
			_, errs, code := pipeCluster(t, "status", "--dir", dir)
			if oneLine(t, errs, d, "state.json", fromList); code != 0 {
				t.Errorf("%q: status %d", text, code)
			}
			if s, ch := c.pid(t, "supervisor"), c.pid(t, "control-plane"); s != supervisor || ch != child {
				t.Errorf("%q: the processes are %d and %d, want %d and %d", text, s, ch, supervisor, child)
			}
		}
		_, errs, code := pipeCluster(t, "up", "--dir", dir)
		if oneLine(t, errs, d, "state.json", fromList); code != 0 {
			t.Errorf("up ended with status %d", code)
		}
		sendSignal(t, supervisor, syscall.SIGCONT)
		eventually(t, "the supervisor writes its state again", func(context.Context) error {
			_, err := d.ReadState()
			return err
		})
	})
	t.Run("configuration while it runs", func(t *testing.T) {
		damage(t, d, "cluster.json", "")
		out, errs, code := pipeCluster(t, "status", "--dir", dir)
		if oneLine(t, errs, d, "cluster.json", fromKubeconfigs); code != 0 || !strings.Contains(out, c.config.Host) {
			t.Errorf("status %d, %q", code, out)
		}
		_, errs, code = pipeCluster(t, "up", "--dir", dir)
		if oneLine(t, errs, d, "cluster.json", fromKubeconfigs); code != 0 {
			t.Errorf("up ended with status %d", code)
		}
		if now, _, err := d.ReadConfig(); err != nil || now != before {
			t.Errorf("the configuration is %+v, %v, want %+v", now, err, before)
		}
	})
	t.Run("both after a kill", func(t *testing.T) {
		kill(t, c.pid(t, "control-plane"), c.pid(t, "supervisor"))
		damage(t, d, "state.json", "{")
		damage(t, d, "cluster.json", "{")
		if s := c.status(t); s.State != "broken" {
			t.Errorf("status = %+v", s)
		}
		c = up(t, dir)
		c.kept(t)
		if now, _, err := d.ReadConfig(); err != nil || now != before {
			t.Errorf("the configuration is %+v, %v, want %+v", now, err, before)
		}
	})
	t.Run("configuration of kept data", func(t *testing.T) {
		damage(t, d, "state.json", "")
		damage(t, d, "cluster.json", "")
		must(t, "down", "--keep-data", "--dir", dir)
		damage(t, d, "cluster.json", "")
		c = up(t, dir)
		c.kept(t)
	})
	t.Run("down while it runs", func(t *testing.T) {
		damage(t, d, "state.json", "")
		damage(t, d, "cluster.json", "")
		must(t, "down", "--dir", dir)
		gone(t, dir)
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	})
}

func sendSignal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatalf("signal %d: %v", pid, err)
	}
}
