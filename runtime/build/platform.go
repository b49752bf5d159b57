package build

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pipelinefile/pipe/internal/atomicfile"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// platforms returns the platforms of the image of spec: those that it names, or the default one.
func (p *pool) platforms(ctx context.Context, spec plan.BuildSpec) ([]string, error) {
	if len(spec.Platforms) > 0 {
		return spec.Platforms, nil
	}
	own, err := p.platform(ctx)
	if err != nil {
		return nil, err
	}
	return []string{own}, nil
}

// platform returns the default platform of builds: that of the builders, which is part
// of the identity. The embedded builder has that of this machine; another builder is
// asked once and the result is cached, so that no builder is needed if there is nothing to
// build.
func (p *pool) platform(ctx context.Context) (string, error) {
	if len(p.opts.Addresses) == 0 {
		return platformName("linux", goruntime.GOARCH, ""), nil
	}
	for _, addr := range p.opts.Addresses {
		if data, err := os.ReadFile(p.platformFile(addr)); err == nil {
			// Without the newline, the file may be truncated.
			name, whole := strings.CutSuffix(string(data), "\n")
			if _, err := platforms.Parse(name); whole && err == nil {
				return name, nil
			}
		}
	}
	if _, err := p.find(ctx); err != nil {
		return "", err
	}
	waits := retry.NewWaits(firstWait)
	for again := 1; ; again++ {
		var first error
		p.mu.Lock()
		able := p.able(nil)
		p.mu.Unlock()
		for _, n := range able {
			name, err := p.ask(ctx, n)
			if err == nil {
				return name, nil
			}
			p.avoid(n)
			if first == nil {
				first = err
			}
		}
		if again > retry.Max || !transient(first) {
			return "", first
		}
		if err := waits.Wait(ctx); err != nil {
			return "", err
		}
	}
}

// ask asks a builder for its platform, and caches it.
func (p *pool) ask(ctx context.Context, n *node) (string, error) {
	c, err := n.connect(ctx)
	if err != nil {
		return "", err
	}
	workers, err := c.ListWorkers(ctx)
	if err != nil {
		return "", &UnreachableError{Addr: n.addr, Err: plain(err)}
	}
	if len(workers) == 0 || len(workers[0].Platforms) == 0 {
		return "", &UnreachableError{Addr: n.addr, Err: errors.New("it has no worker")}
	}
	name := platforms.Format(platforms.Normalize(workers[0].Platforms[0]))
	if file := p.platformFile(cmp.Or(n.farm, n.addr)); file != "" {
		// If this fails, the next run needs a connection again.
		_ = atomicfile.Write(file, []byte(name+"\n"), 0o600)
	}
	return name, nil
}

// platformFile is the path of the cached platform of the builders at an address; "" if nothing
// is cached.
func (p *pool) platformFile(addr string) string {
	if p.opts.CacheDir == "" {
		return ""
	}
	sum := strings.TrimPrefix(string(plan.DigestOf([]byte(addr))), "sha256:")
	return filepath.Join(p.opts.CacheDir, "platform", sum[:16])
}

// platformName returns the usual name of a platform, such as linux/arm64.
func platformName(system, architecture, variant string) string {
	return platforms.Format(platforms.Normalize(ocispecs.Platform{OS: system, Architecture: architecture, Variant: variant}))
}

// An otherPlatformError means that an image is not for a platform.
type otherPlatformError struct{ has, want string }

func (e *otherPlatformError) Error() string {
	if e.has == "" {
		return "does not say its platform"
	}
	return "is for " + e.has + ", not for " + e.want
}

// imageFor returns the image of desc for a platform. If there is none, the error is an
// *otherPlatformError.
func imageFor(desc *remote.Descriptor, p ocispecs.Platform) (v1.Image, error) {
	want := platforms.Format(p)
	if !desc.MediaType.IsIndex() {
		image, err := desc.Image()
		if err != nil {
			return nil, err
		}
		config, err := image.RawConfigFile()
		if err != nil {
			return nil, err
		}
		if of, err := platformOf(config); err != nil || of != want {
			return nil, &otherPlatformError{has: of, want: want}
		}
		return image, nil
	}
	index, err := desc.ImageIndex()
	if err != nil {
		return nil, err
	}
	list, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var has []string
	for _, d := range list.Manifests {
		if d.Platform == nil || d.Platform.OS == "unknown" || !d.MediaType.IsImage() {
			continue
		}
		of := platformName(d.Platform.OS, d.Platform.Architecture, d.Platform.Variant)
		if of == want {
			return index.Image(d.Digest)
		}
		has = append(has, of)
	}
	return nil, &otherPlatformError{has: strings.Join(has, ", "), want: want}
}
