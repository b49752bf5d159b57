package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/node"
)

// TestReal tests the whole life of a cluster with a real node and running pods.
func TestReal(t *testing.T) {
	cannot := t.Skipf
	if required("real") {
		cannot = t.Fatalf
	}
	if err := node.Check(); err != nil {
		cannot("this machine cannot be a real node: %v", err)
	}
	if d, ok := node.Owner(); ok {
		cannot("this machine has a real cluster already: end it with `pipe-cluster down --dir %s`", d)
	}
	// Programs that are installed now are kept, so they are installed before the comparison.
	if err := node.Install(t.Context(), t.Logf); err != nil {
		cannot("%v", err)
	}
	port := webImage(t)
	dir := filepath.Join(t.TempDir(), "cluster")
	t.Cleanup(func() { pipeCluster(t, "down", "--dir", dir) })
	before := machine(t)

	c := up(t, dir, "--node", "real")
	if s := c.status(t); s.State != "running" || s.Node != "real" || len(s.Processes) != 6 {
		t.Errorf("status = %+v", s)
	}
	c.keep(t)
	w := c.deploy(t, port)
	w.answers(t)
	w.resolves(t)
	w.logs(t)
	w.exec(t)
	w.forwards(t)

	t.Run("up again attaches", func(t *testing.T) {
		pid := c.pid(t, "kubelet")
		up(t, dir)
		if now := c.pid(t, "kubelet"); now != pid {
			t.Errorf("kubelet %d became %d", pid, now)
		}
	})
	t.Run("another real cluster is refused", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "other")
		_, errs, status := pipeCluster(t, "up", "--node", "real", "--dir", other)
		want := fmt.Sprintf("pipe-cluster: this machine has a real cluster already, in %[1]s: use that, or end it with `pipe-cluster down --dir %[1]s`\n", dir)
		if status != 1 || errs != want {
			t.Errorf("status %d, %q, want %q", status, errs, want)
		}
		if _, err := os.Stat(other); !os.IsNotExist(err) {
			t.Errorf("%s was made: %v", other, err)
		}
		must(t, "down", "--dir", other) // does not affect others
		w.answers(t)
	})
	t.Run("kill the children", func(t *testing.T) {
		pods := w.pods(t)
		for _, name := range []string{"containerd", "control-plane", "kubelet", "kube-proxy", "dns"} {
			kill(t, c.pid(t, name))
		}
		c = up(t, dir) // its port may have been taken meanwhile
		w.cluster = c
		c.kept(t)
		w.answers(t)
		w.resolves(t)
		w.undisturbed(t, pods)
	})
	t.Run("kill the supervisor", func(t *testing.T) {
		pods := w.pods(t)
		kill(t, c.pid(t, "supervisor"))
		w.answers(t)   // running pods keep running
		c = up(t, dir) // its port may have been taken meanwhile
		w.cluster = c
		c.kept(t)
		w.answers(t)
		w.resolves(t)
		w.undisturbed(t, pods)
	})
	t.Run("kill everything with the containers", func(t *testing.T) {
		starts := w.starts(t)
		kill(t, c.pid(t, "supervisor"))
		killAll(t, dir)
		c = up(t, dir) // its port may have been taken meanwhile
		w.cluster = c
		c.kept(t)
		w.cameBack(t, starts)
	})
	t.Run("the machine restarts", func(t *testing.T) {
		starts := w.starts(t)
		kill(t, c.pid(t, "supervisor"))
		killAll(t, dir)
		if err := node.Sweep(t.Context(), home.Dir(dir)); err != nil { // removes mounts, interfaces and cgroups
			t.Fatal(err)
		}
		c = up(t, dir) // its port may have been taken meanwhile
		w.cluster = c
		c.kept(t)
		w.cameBack(t, starts)
	})
	t.Run("down keeps data if told to", func(t *testing.T) {
		starts := w.starts(t)
		must(t, "down", "--keep-data", "--dir", dir)
		same(t, before)
		gone(t, dir)
		undo := dropForwarded(t)
		c = up(t, dir)
		w.cluster = c
		c.kept(t)
		w.cameBack(t, starts)
		w.resolves(t)
		w.release(t)
		must(t, "down", "--dir", dir)
		undo()
		same(t, before)
		gone(t, dir)
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	})
	t.Run("down after a kill", func(t *testing.T) {
		c := up(t, dir, "--node", "real")
		w := c.deploy(t, port)
		w.answers(t)
		kill(t, c.pid(t, "supervisor"))
		must(t, "down", "--dir", dir)
		same(t, before)
		gone(t, dir)
	})
}

// killAll kills every process of the cluster and of its pods, like a crash of the machine.
func killAll(t *testing.T, dir string) {
	t.Helper()
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/pipe-cluster")
	roots = append(roots, "/sys/fs/cgroup/pipe-cluster")
	script := "for p in $(grep -lz '^PIPE_CLUSTER_DIR=" + dir + "$' /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3) " +
		"$(find " + strings.Join(roots, " ") + " -name cgroup.procs 2>/dev/null | xargs -r cat); do [ $p = $$ ] || kill -9 $p; done 2>/dev/null; true"
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// dropForwarded makes the machine drop forwarded packets, as Docker does, until undone.
func dropForwarded(t *testing.T) (undo func()) {
	t.Helper()
	if len(lines(t, []string{"nft", "list", "table", "ip", "filter"})) > 0 {
		return func() {} // the machine has its own rules
	}
	nft := func(rules string) {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(rules)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("nft: %v: %s", err, out)
		}
	}
	nft("table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop; }; }")
	done := false
	undo = func() {
		if done {
			return
		}
		done = true
		if rules := lines(t, []string{"nft", "list", "table", "ip", "filter"}); strings.Contains(strings.Join(rules, "\n"), "accept") {
			t.Errorf("rules are left in the machine's firewall: %q", rules)
		}
		nft("delete table ip filter")
	}
	t.Cleanup(undo)
	return undo
}

// release deletes the claim and checks that the volume's directory is removed.
func (w *workload) release(t *testing.T) {
	t.Helper()
	folders := func() int {
		e, _ := os.ReadDir(filepath.Join(w.dir, "volumes"))
		return len(e)
	}
	if n := folders(); n != 1 {
		t.Errorf("%d volumes, want 1", n)
	}
	ctx := t.Context()
	if err := w.api.AppsV1().Deployments("default").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.api.CoreV1().PersistentVolumeClaims("default").Delete(ctx, "data", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the volume is removed", func(ctx context.Context) error {
		all, err := w.api.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
		if err == nil && len(all.Items)+folders() > 0 {
			err = fmt.Errorf("%d objects, %d folders", len(all.Items), folders())
		}
		return err
	})
}

// undisturbed checks that the very same containers run as before.
func (w *workload) undisturbed(t *testing.T, before []corev1.Pod) {
	t.Helper()
	ids := func(pods []corev1.Pod) string {
		var all []string
		for _, p := range pods {
			all = append(all, p.Status.ContainerStatuses[0].ContainerID)
		}
		return strings.Join(all, " ")
	}
	if now := w.pods(t); ids(now) != ids(before) {
		t.Errorf("containers %s became %s", ids(before), ids(now))
	}
}
