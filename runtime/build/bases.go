package build

import (
	"context"
	"slices"
	"strings"
	"sync"

	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	srctypes "github.com/moby/buildkit/source/types"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// imageScheme begins the identifiers of BuildKit's sources that are images.
const imageScheme = srctypes.DockerImageScheme + "://"

// tags are the digests that tags of base images had when they were looked up first, so that
// all builds of a run use the same images (I9). The zero value is ready to use.
type tags struct {
	mu      sync.Mutex
	digests map[string]string // by image with its tag
}

func (t *tags) digest(image string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.digests[image]
}

// keep keeps the digest of an image, unless a concurrent build has kept one, and returns what
// is kept.
func (t *tags) keep(image, digest string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.digests[image]; known != "" {
		return known
	}
	if t.digests == nil {
		t.digests = make(map[string]string)
	}
	t.digests[image] = digest
	return digest
}

func (t *tags) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.digests = nil
}

// Refresh makes the builds that follow look up the tags of their base images again. A caller that
// builds several times with one Builder, such as watch mode, calls it before each run.
func (b *Builder) Refresh() { b.tags.forget() }

// Bases returns the images that the last successful build of ref was built from, by name and
// digest, as BuildKit used them, and forgets them. It returns nil if the builder does not
// report its sources, and an empty slice if there are no such images.
func (b *Builder) Bases(ref string) []runtime.BaseImage {
	b.mu.Lock()
	defer b.mu.Unlock()
	used := b.used[ref]
	delete(b.used, ref)
	return used
}

// sources are those of one build. BuildKit asks for each of them whether it may be used. A
// tag of an image is replaced by the digest that it has in this run.
type sources struct {
	tags    *tags
	scanner string // makes the SBOM, so it is not a base image; empty: none does

	mu    sync.Mutex
	asked bool               // BuildKit has asked; older versions do not; guarded by mu
	used  map[[2]string]bool // images, by name and digest, and whether they are pinned; guarded by mu
}

// check is called by BuildKit before it looks at a source, and again with what it has found if
// the answer was a request.
func (s *sources) check(_ context.Context, req *policysession.CheckPolicyRequest) (*policysession.DecisionResponse, *gatewaypb.ResolveSourceMetaRequest, error) {
	source := req.GetSource().GetSource()
	allowed := &policysession.DecisionResponse{Action: spb.PolicyAction_ALLOW}
	reference, isImage := strings.CutPrefix(source.GetIdentifier(), imageScheme)
	image, digest, byDigest := strings.Cut(reference, "@")
	s.mu.Lock()
	s.asked = true
	s.mu.Unlock()
	switch {
	case !isImage, reference == s.scanner:
		return allowed, nil, nil
	case byDigest:
		s.use(image, digest, true)
		return allowed, nil, nil
	}
	if digest = s.tags.digest(image); digest == "" {
		found := req.GetSource().GetImage().GetDigest()
		if found == "" {
			return nil, &gatewaypb.ResolveSourceMetaRequest{
				Source: source, Platform: req.GetPlatform(), LogName: "[internal] load metadata for " + image,
			}, nil
		}
		digest = s.tags.keep(image, found)
	}
	s.use(image, digest, false)
	return &policysession.DecisionResponse{
		Action: spb.PolicyAction_CONVERT,
		Update: &pb.SourceOp{Identifier: imageScheme + image + "@" + digest, Attrs: source.GetAttrs()},
	}, nil, nil
}

// use notes a base image. One that is named both by a tag and by the digest that the tag has
// is not pinned.
func (s *sources) use(image, digest string, pinned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == nil {
		s.used = make(map[[2]string]bool)
	}
	of := [2]string{image, digest}
	if before, used := s.used[of]; used { // a tag that was replaced is asked for again, by digest
		pinned = pinned && before
	}
	s.used[of] = pinned
}

// bases returns the base images, sorted; nil if BuildKit has not asked.
func (s *sources) bases() []runtime.BaseImage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asked {
		return nil
	}
	all := make([]runtime.BaseImage, 0, len(s.used))
	for of, pinned := range s.used {
		all = append(all, runtime.BaseImage{Image: of[0], Digest: plan.Digest(of[1]), Pinned: pinned})
	}
	slices.SortFunc(all, runtime.BaseImage.Compare)
	return all
}
