//go:build !windows

package build_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
)

// A cluster has builders that come and go.
type cluster struct {
	mu    sync.Mutex
	ready []build.Member
	asked []build.FarmAddress
	err   error
}

// members is the Farm of [build.Options].
func (c *cluster) members(_ context.Context, farm build.FarmAddress) ([]build.Member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, farm)
	return c.ready, c.err
}

// set makes the workers, by name, the members that are ready. A connection to a worker that is
// replaced goes on dialing while the test starts the next one, so it has a copy of the address.
func (c *cluster) set(ready map[string]*worker, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready, c.err = nil, err
	for name, w := range ready {
		path := strings.TrimPrefix(w.addr, "unix://")
		c.ready = append(c.ready, build.Member{Name: name, Instance: fmt.Sprint(w.pid), Limits: build.Limits{CPU: 0.5, Memory: 256 << 20}, Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}})
	}
}

// TestFarm builds on the members of a farm: one that is not ready gets no builds, one that is
// killed in the middle of a build costs a retry, and the limits of a build are those of the member.
func TestFarm(t *testing.T) {
	workers := []*worker{startWorker(t), startWorker(t)}
	var c cluster
	c.set(map[string]*worker{"buildkit-0": workers[0]}, nil)
	host := images(t)
	const limits = "RUN cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null; true\n"
	dir := workspace(t, files{
		"web/Dockerfile": whereami + "RUN echo started; sleep 2\n", "web/busybox": "", "web/x": "",
		"a/Dockerfile": whereami + limits, "a/busybox": "", "b/Dockerfile": whereami, "b/busybox": "", "c/Dockerfile": whereami, "c/busybox": "",
	})
	b := build.New(build.Options{Dir: dir, Addresses: []string{"kube://builders?context=eu"}, Farm: c.members})
	t.Cleanup(func() { b.Close() })
	where := func(source string, x int) (*worker, *record) {
		files{source + "/x": fmt.Sprint(x)}.write(t, dir)
		spec := onPlatform(source)
		spec.Source.Path = source
		_, r := mustBuild(t, b, spec, host+"/web:1")
		return builtOn(t, r, workers), r
	}
	for i, source := range []string{"a", "b", "c"} {
		on, r := where(source, i)
		if on != workers[0] {
			t.Errorf("%s is built on a builder that is not ready", source)
		}
		if source == "a" && !strings.Contains(r.text(), "50000") {
			t.Errorf("the limits of the member do not hold:\n%s", r.text())
		}
	}
	if want := (build.FarmAddress{Namespace: "builders", Context: "eu"}); c.asked[0] != want {
		t.Errorf("the farm that is asked is %+v, want %+v", c.asked[0], want)
	}

	both := map[string]*worker{"buildkit-0": workers[0], "buildkit-1": workers[1]}
	c.set(both, nil)
	var r record
	var failed *worker
	end := func() {
		failed = builtOn(t, &r, workers)
		for name, w := range both {
			if w != failed {
				c.set(map[string]*worker{name: w}, nil)
			}
		}
		failed.signal(t, syscall.SIGKILL)
	}
	if _, err := b.Build(t.Context(), onPlatform("web"), host+"/web:1", onStarted(&r, end)); err != nil {
		t.Fatalf("Build: %v\n%s", err, r.text())
	}
	retried := r.retried()
	names := map[bool]string{true: "kube://builders/buildkit-0", false: "kube://builders/buildkit-1"}
	if len(retried) != 1 || retried[0].From != names[failed == workers[0]] || retried[0].To != names[failed != workers[0]] {
		t.Errorf("the build is retried with %+v, want once, from %s", retried, names[failed == workers[0]])
	}

	// The one that was lost is replaced, and has the cache of its name.
	failed.start(t)
	for name, w := range both {
		if w == failed {
			c.set(map[string]*worker{name: w}, nil)
		}
	}
	if on, _ := where("web", 9); on != failed {
		t.Error("the only builder of the farm, which was replaced, is not used")
	}
}

// TestFarmAbsent: without a ready member, other builders build; without those, the error is that
// of the farm.
func TestFarmAbsent(t *testing.T) {
	w := startWorker(t)
	var c cluster
	c.set(nil, runtime.Advise(errors.New("there are none"), runtime.Advice{Do: "create them"}))
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"})
	host := images(t)
	both := build.New(build.Options{Dir: dir, Addresses: []string{"kube://builders", w.addr}, Farm: c.members})
	t.Cleanup(func() { both.Close() })
	_, r := mustBuild(t, both, onPlatform("web"), host+"/web:1")
	if got := r.retried(); len(got) != 1 || got[0].From != "kube://builders" || got[0].To != w.addr || got[0].Error != "BuildKit at kube://builders: there are none" {
		t.Errorf("Retried = %+v", got)
	}
	alone := build.New(build.Options{Dir: dir, Addresses: []string{"kube://builders"}, Farm: c.members})
	t.Cleanup(func() { alone.Close() })
	_, err := fails(t, alone, onPlatform("web"), host+"/web:1")
	if advice, _ := runtime.AdviceOf(err); err.Error() != "BuildKit at kube://builders: there are none" || advice.Do != "create them" {
		t.Errorf("Build = %v, %+v", err, advice)
	}
}
