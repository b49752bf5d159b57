package build

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/client"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// cacheRef returns where the cache of a build is kept; "" if it is not. What is
// built from the same Dockerfile and context has the same place, whatever their content is.
func (b *Builder) cacheRef(j job) string {
	if b.opts.Cache == "" {
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
type noCache struct{ read, write string }

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
	host, _, _ := strings.Cut(ref, "/")
	for _, f := range []struct{ what, why string }{{"read from", n.read}, {"written to", n.write}} {
		if f.why == "" {
			continue
		}
		why := strings.TrimPrefix(strings.TrimPrefix(f.why, "failed to configure registry cache importer: "), ref+": ")
		hint := "the image does not need it; check that the registry can be reached and accepts the cache"
		if access := accessHint(why, host); access != "" {
			hint = access
		}
		emit(runtime.Warned{Diagnostic: plan.Diagnostic{
			Severity: plan.SeverityWarning, Pos: j.spec.Pos,
			Message: fmt.Sprintf("the cache of the build of %s cannot be %s %s: %s", j.spec.ID, f.what, ref, redact.URLs(hide(why))),
			Hint:    hint,
		}})
	}
}
