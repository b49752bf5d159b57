package build_test

import (
	"testing"
	"time"

	"github.com/pipelinefile/pipe/runtime/build"
)

// TestPruneCaches prunes the cache of a real BuildKit.
func TestPruneCaches(t *testing.T) {
	w := startWorker(t)
	dir, host := workspace(t, files{"web/Dockerfile": shell + "COPY x /x\nRUN cat /x\n", "web/busybox": "", "web/x": "x"}), images(t)
	b := build.New(build.Options{Dir: dir, Addresses: []string{w.addr}})
	t.Cleanup(func() { b.Close() })
	mustBuild(t, b, spec("web"), host+"/web:1")
	look := func(keep build.CacheLimit) build.Cache {
		t.Helper()
		all, err := b.Caches(t.Context(), keep)
		if err != nil || len(all) != 1 || all[0].Builder != w.addr {
			t.Fatalf("Caches = %+v, %v", all, err)
		}
		return all[0]
	}
	prune := func(keep build.CacheLimit) build.Cache {
		t.Helper()
		all, err := b.PruneCaches(t.Context(), keep)
		if err != nil || len(all) != 1 || all[0].Builder != w.addr {
			t.Fatalf("PruneCaches = %+v, %v", all, err)
		}
		return all[0]
	}
	for _, keep := range []build.CacheLimit{{Used: time.Hour}, {Bytes: 1 << 40}} {
		if c := look(keep); c.Size == 0 || c.Removed != 0 || c.Records != 0 {
			t.Errorf("Caches(%+v) = %+v", keep, c)
		}
		if c := prune(keep); c.Removed != 0 || c.Records != 0 {
			t.Errorf("PruneCaches(%+v) = %+v", keep, c)
		}
	}
	if _, r := mustBuild(t, b, spec("web"), host+"/web:2"); !r.cachedStep("RUN cat /x") {
		t.Errorf("the cache is gone:\n%s", r.text())
	}
	foreseen := look(build.CacheLimit{})
	done := prune(build.CacheLimit{})
	if foreseen.Removed == 0 || done.Removed == 0 || done.Removed > foreseen.Removed || done.Records == 0 || done.Size < done.Removed {
		t.Errorf("removed was %+v, foreseen was %+v", done, foreseen)
	}
	if left := look(build.CacheLimit{}); left.Size != done.Size-done.Removed {
		t.Errorf("left is %+v of %+v", left, done)
	}
	if _, r := mustBuild(t, b, spec("web"), host+"/web:3"); r.cachedStep("RUN cat /x") {
		t.Errorf("the step is still cached:\n%s", r.text())
	}

	both := build.New(build.Options{Addresses: []string{"unix:///nowhere/buildkitd.sock", w.addr}})
	t.Cleanup(func() { both.Close() })
	if all, err := both.Caches(t.Context(), build.CacheLimit{}); err == nil || len(all) != 1 {
		t.Errorf("with a builder that cannot be reached: %+v, %v", all, err)
	}
}
