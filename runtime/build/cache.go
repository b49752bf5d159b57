package build

import (
	"fmt"
	"strings"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// cacheRef returns where the cache of a build is kept; "" if it is not. What is
// built from the same Dockerfile and context has the same place, whatever their content is.
func (b *Builder) cacheRef(j job) string {
	b.mu.Lock()
	avoided := time.Now().Before(b.cacheFrom)
	b.mu.Unlock()
	if b.opts.Cache == "" || avoided {
		return ""
	}
	platforms := strings.Join(append([]string{j.src.platform}, j.spec.Platforms...), ",")
	place := strings.Join([]string{filesOf(j.spec), j.spec.Target, platforms}, "\x00")
	sum := strings.TrimPrefix(string(plan.DigestOf([]byte(place))), "sha256:")
	return strings.TrimSuffix(b.opts.Cache, "/") + ":" + sum[:32]
}

// cache makes the build read its cache, and write it afterwards.
func (b *Builder) cache(opt *client.SolveOpt, ref string) {
	if ref == "" {
		return
	}
	attrs := b.access(ref)
	attrs["ref"] = ref
	opt.CacheImports = []client.CacheOptionsEntry{{Type: "registry", Attrs: attrs}}
	to := b.access(ref)
	to["ref"], to["mode"], to["image-manifest"], to["oci-mediatypes"] = ref, "max", "true", "true"
	to["ignore-error"] = "true" // a failure is a warning
	opt.CacheExports = []client.CacheOptionsEntry{{Type: "registry", Attrs: to}}
}

// Names of the steps in which BuildKit reads and writes the cache. It goes on if they fail.
const (
	readsCache  = "importing cache manifest from "
	writesCache = "exporting cache to registry"
)

// noCache are the failures to read and to write the cache of a build, as BuildKit says them.
type noCache struct {
	read, write string

	patience time.Duration
	silent   func(doing string) // called if a step of the cache reports nothing for so long
	timer    *time.Timer        // of the running step; nil if none is running
}

// doing returns what a step does with the cache; "" if it is not one of the cache.
func doing(step string) string {
	switch {
	case strings.HasPrefix(step, readsCache):
		return "read from"
	case step == writesCache:
		return "written to"
	}
	return ""
}

// busy notes that a step has started or reports something.
func (n *noCache) busy(step string) {
	what := doing(step)
	switch {
	case what == "" || n.silent == nil:
	case n.timer == nil:
		n.timer = time.AfterFunc(n.patience, func() { n.silent(what) })
	default:
		n.timer.Reset(n.patience)
	}
}

// ended notes that a step has ended.
func (n *noCache) ended(step string) {
	if doing(step) != "" {
		n.stop()
	}
}

func (n *noCache) stop() {
	if n.timer != nil {
		n.timer.Stop()
		n.timer = nil
	}
}

// A silentCacheError means that the registry of the cache does not answer, which BuildKit waits for
// without limit.
type silentCacheError struct {
	ref, doing string
	after      time.Duration
}

func (e *silentCacheError) Error() string {
	return fmt.Sprintf("the cache cannot be %s %s: the registry has not answered for %v", e.doing, e.ref, e.after)
}

func (e *silentCacheError) warn(j job, emit runtime.Emit) {
	emit(runtime.Warned{Diagnostic: plan.Diagnostic{
		Severity: plan.SeverityWarning, Pos: j.spec.Pos,
		Message: fmt.Sprintf("the cache of the build of %s cannot be %s %s: the registry has not answered for %v; it is built without the cache, as are others for %v", j.spec.ID, e.doing, e.ref, e.after, cacheAbsence),
		Hint:    "the image does not need it; check that the builder can reach the registry",
	}})
}

// cacheAbsence is how long builds go without a cache whose registry is silent.
const cacheAbsence = 5 * time.Minute

// avoidCache makes the next builds go without the cache.
func (b *Builder) avoidCache() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cacheFrom = time.Now().Add(cacheAbsence)
}

// failed reports whether a step that has failed is one of the cache, and keeps its error.
func (n *noCache) failed(v *client.Vertex) bool {
	switch {
	case strings.HasPrefix(v.Name, readsCache):
		// The first build finds no cache. BuildKit passes on that fact as a string only.
		if n.read = v.Error; strings.HasSuffix(v.Error, ": not found") {
			n.read = ""
		}
	case v.Name == writesCache:
		n.write = v.Error
	default:
		return false
	}
	return true
}

// warn emits a warning for each failure.
func (n *noCache) warn(j job, ref string, hide func(string) string, emit runtime.Emit) {
	host := hostOf(ref)
	for _, f := range []struct{ what, why string }{{"read from", n.read}, {"written to", n.write}} {
		if f.why == "" {
			continue
		}
		why := strings.TrimPrefix(strings.TrimPrefix(f.why, "failed to configure registry cache importer: "), ref+": ")
		said := readAnswer(host, hide(why))
		hint := "the image does not need it; check that the registry can be reached and accepts the cache"
		if access := accessHint(why, host); access != "" {
			hint = access
		} else if said.full {
			hint = "the image does not need it; " + said.next
		}
		emit(runtime.Warned{Diagnostic: plan.Diagnostic{
			Severity: plan.SeverityWarning, Pos: j.spec.Pos,
			Message: fmt.Sprintf("the cache of the build of %s cannot be %s %s: %s", j.spec.ID, f.what, ref, redact.URLs(said.why)),
			Hint:    hint,
		}})
	}
}
