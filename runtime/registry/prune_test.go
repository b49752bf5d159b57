package registry

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/registry/serve"
)

// built pushes an image as a build of content does, with its note.
func built(t *testing.T, r *Registry, content string, what remote.Taggable) (ref string, digest plan.Digest) {
	t.Helper()
	ref = r.Ref("web", plan.DigestOf([]byte(content)))
	if err := r.Note(t.Context(), ref, Made{}); err != nil {
		t.Fatal(err)
	}
	return ref, push(t, ref, what)
}

func index(t *testing.T) v1.ImageIndex {
	t.Helper()
	all, err := random.Index(500, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// always returns Needs that do not change.
func always(n Needs) func(context.Context) (Needs, error) {
	return func(context.Context) (Needs, error) { return n, nil }
}

func needed(who string, digests ...plan.Digest) Needs {
	n := Needs{Digests: map[plan.Digest][]string{}}
	for _, d := range digests {
		n.Digests[d] = []string{who}
	}
	return n
}

func keptImages(t *testing.T, r *Registry) []*Kept {
	t.Helper()
	kept, err := r.Kept(t.Context(), []string{r.prefix + "/web"})
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// is reports whether a reference can be resolved.
func is(t *testing.T, ref string) bool {
	t.Helper()
	_, err := remote.Head(mustRef(t, ref))
	if err != nil && !isNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

// pruned prunes, and returns the digests of what was removed.
func pruned(t *testing.T, r *Registry, needs Needs) (removed []plan.Digest) {
	t.Helper()
	all, err := r.Prune(t.Context(), keptImages(t, r), PruneOptions{Needs: always(needs)})
	if err != nil {
		t.Fatalf("Prune = %v", err)
	}
	for _, k := range all {
		removed = append(removed, k.Digest)
	}
	return removed
}

// eachRegistry runs a test with the embedded registry, and with another one, which builders of
// several machines share.
// The function aged makes what the embedded one has older than its precision.
func eachRegistry(t *testing.T, test func(t *testing.T, r *Registry, aged func())) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		s, err := serve.Start(t.Context(), serve.Options{Dir: dir, Addr: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		test(t, newRegistry(t, s.Addr), func() {
			err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
				return errors.Join(err, os.Chtimes(path, time.Now(), time.Now().Add(-time.Hour)))
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("shared", func(t *testing.T) {
		t.Parallel()
		test(t, machine(t, newUpstream(t).addr+"/acme"), func() {})
	})
}

// TestPrune: everything that may be needed, and everything that is not certainly pipe's own,
// is kept with all that belongs to it.
func TestPrune(t *testing.T) {
	eachRegistry(t, func(t *testing.T, r *Registry, aged func()) {
		repo := r.prefix + "/web"
		var kept []string
		keep := func(refs ...string) { kept = append(kept, refs...) }

		ref, deployed := built(t, r, "deployed", image(t))
		attach(t, repo, "signature of what is deployed", described(t, must(remote.Image(mustRef(t, ref)))(t)))
		keep(ref, repo+"@"+string(deployed))

		many := index(t)
		ref, _ = built(t, r, "one platform is deployed by digest", many)
		list := must(many.IndexManifest())(t)
		platform := plan.Digest(list.Manifests[0].Digest.String())
		keep(ref, repo+"@"+string(platform), repo+"@"+list.Manifests[1].Digest.String())

		byTag, _ := built(t, r, "deployed by tag", image(t))
		keep(byTag)
		byTag = byTag[strings.LastIndex(byTag, ":")+1:]

		foreign := repo + ":" + strings.Repeat("a", 64) // looks like one of ours
		push(t, foreign, image(t))
		release := repo + ":v1.0"
		push(t, release, image(t))
		keep(foreign, release)

		ref, _ = built(t, r, "somebody has given it a tag", image(t))
		push(t, repo+":latest", must(remote.Image(mustRef(t, ref)))(t))
		keep(ref, repo+":latest")

		deeper := r.prefix + "/team/web:" + strings.Repeat("b", 64)
		push(t, deeper, image(t))
		push(t, deeper+noteSuffix, annotated(map[string]string{noteAt: "2020-01-01T00:00:00Z"}))
		keep(deeper)

		// An index that is not needed, with an image that is a part of a needed one.
		common := image(t)
		going := mutate.AppendManifests(index(t), mutate.IndexAddendum{Add: common})
		staying := mutate.AppendManifests(index(t), mutate.IndexAddendum{Add: common})
		goingRef, goingDigest := built(t, r, "an index", going)
		signature := attach(t, repo, "signature of the index", described(t, going))
		ref, stayingDigest := built(t, r, "another index", staying)
		part := repo + "@" + described(t, common).Digest.String()
		keep(ref, part)
		// An image that is not needed alone is a part of a needed index.
		aloneRef, aloneDigest := built(t, r, "alone", common)

		needs := needed("environment staging of pipeline shop", deployed, platform, stayingDigest)
		needs.Tags = map[string][]string{byTag: {"a pod"}}
		all := keptImages(t, r)
		for _, k := range all {
			why, who := k.Why(needs, 0)
			if why == "needed" != (len(who) > 0) {
				t.Errorf("%s is kept: %q, for %q", k.Ref(), why, who)
			}
		}
		aged()
		removed := pruned(t, r, needs)
		slices.Sort(removed)
		want := []plan.Digest{goingDigest, aloneDigest}
		slices.Sort(want)
		if !slices.Equal(removed, want) {
			t.Errorf("removed %v, want %v", removed, want)
		}
		for _, ref := range kept {
			if !is(t, ref) {
				t.Errorf("%s is gone", ref)
			}
		}
		if got := statements(t, mustRef(t, repo+":x").Context(), must(v1.NewHash(string(deployed)))(t)); len(got) != 1 {
			t.Errorf("the signatures of the needed image are %q", got)
		}
		own := must(going.IndexManifest())(t).Manifests[0].Digest.String()
		for _, ref := range []string{goingRef, aloneRef, repo + "@" + string(goingDigest), repo + "@" + own, goingRef + noteSuffix, goingRef + removingSuffix,
			repo + "@" + described(t, signature).Digest.String()} {
			if is(t, ref) {
				t.Errorf("%s is still there", ref)
			}
		}
		for _, k := range keptImages(t, r) {
			if len(k.removing) > 0 {
				t.Errorf("%s was left with the tags %q and %q", k.Ref(), k.Tags, k.removing)
			}
		}
	})
}

// must returns a function that fails the test for an error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestPruneProvenance: the provenance of an image goes with it, and so does that of an image
// that was never published.
func TestPruneProvenance(t *testing.T) {
	eachRegistry(t, func(t *testing.T, r *Registry, aged func()) {
		// attested pushes an image with provenance, and returns the digests that must go.
		attested := func(content string, publish bool) (ref string, parts []string) {
			one, note := image(t), mutate.Annotations(image(t), map[string]string{"of": content})
			index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: one}, mutate.IndexAddendum{
				Add: note.(v1.Image), Descriptor: v1.Descriptor{Annotations: map[string]string{attestationType: attestation}},
			})
			ref = r.Ref("web", plan.DigestOf([]byte(content)))
			if err := r.Note(t.Context(), ref, Made{}); err != nil {
				t.Fatal(err)
			}
			push(t, r.Beside(ref), index)
			if publish {
				if digest, err := r.Publish(t.Context(), r.Beside(ref), ref); err != nil || digest != plan.Digest(described(t, one).Digest.String()) {
					t.Fatalf("Publish = %s, %v", digest, err)
				}
			}
			for _, what := range []any{one, note, index} {
				parts = append(parts, r.prefix+"/web@"+described(t, what).Digest.String())
			}
			return ref, append(parts, r.Beside(ref))
		}
		_, going := attested("going", true)
		staying, kept := attested("staying", true)
		_, unpublished := attested("unpublished", false)
		digest, err := r.Resolve(t.Context(), staying)
		if err != nil {
			t.Fatal(err)
		}
		if all := keptImages(t, r); len(all) != 3 {
			t.Errorf("%d images are kept, want 3", len(all))
		}
		aged()
		if removed := pruned(t, r, needed("environment staging", digest)); len(removed) != 2 {
			t.Errorf("removed %v, want 2", removed)
		}
		for _, ref := range append(going, unpublished...) {
			if is(t, ref) {
				t.Errorf("%s is still there", ref)
			}
		}
		for _, ref := range append(kept, staying) {
			if !is(t, ref) {
				t.Errorf("%s is gone", ref)
			}
		}
	})
}

// TestPruneMirrors: a mirrored image goes with the tag that it has upstream, and its signatures
// go with it; one whose tag has moved upstream is kept while it is needed.
func TestPruneMirrors(t *testing.T) {
	eachRegistry(t, func(t *testing.T, r *Registry, aged func()) {
		u := newUpstream(t)
		src := u.addr + "/redis:7"
		var refs []string
		for range 2 {
			img := image(t)
			push(t, src, img)
			attach(t, u.addr+"/redis", "signature", described(t, img))
			ref, _ := mirror(t, r, src)
			refs = append(refs, ref)
		}
		_, first, _ := strings.Cut(refs[0], "@")
		_, second, _ := strings.Cut(refs[1], "@")
		aged()
		if removed := pruned(t, r, needed("prod", plan.Digest(first))); !slices.Equal(removed, []plan.Digest{plan.Digest(second)}) {
			t.Errorf("removed %v, want the second", removed)
		}
		if !is(t, refs[0]) || is(t, refs[1]) {
			t.Errorf("there: first %v, second %v; want the first alone", is(t, refs[0]), is(t, refs[1]))
		}
		if ref, copied := mirror(t, r, src); !copied || ref != refs[1] {
			t.Errorf("Mirror = %s, %v, want %s again", ref, copied, refs[1])
		}
		if !is(t, refs[1]) {
			t.Error("the second was not copied again")
		}
	})
}

// TestPruneAge: what is newer than the age rule is kept.
func TestPruneAge(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, ours(t).Addr)
	ref, _ := built(t, r, "new", image(t))
	removed, err := r.Prune(t.Context(), keptImages(t, r), PruneOptions{Needs: always(Needs{}), OlderThan: time.Hour})
	if err != nil || len(removed) > 0 || !is(t, ref) {
		t.Errorf("Prune = %v, %v", removed, err)
	}
}

// TestPruneBesideRuns: an image that a run has found before its tag was removed is kept, and
// one that is pushed again, too.
func TestPruneBesideRuns(t *testing.T) {
	eachRegistry(t, func(t *testing.T, r *Registry, aged func()) {
		found, foundDigest := built(t, r, "found by a run", image(t))
		img := image(t)
		again, againDigest := built(t, r, "built again", img)
		gone, goneDigest := built(t, r, "not needed", image(t))
		looks := 0
		var waited [][]string
		removed, err := r.Prune(t.Context(), keptImages(t, r), PruneOptions{
			Waiting: func(runs []string) { waited = append(waited, runs) },
			Needs: func(context.Context) (Needs, error) {
				looks++
				n := Needs{Runs: map[string]string{}}
				for _, ref := range []string{found, gone} {
					if hidden := !is(t, ref); hidden != (looks > 1) {
						t.Errorf("look %d: %s is hidden: %v", looks, ref, hidden)
					}
				}
				switch looks {
				case 1:
				case 2, 3: // this one began before, and found an image
					n.Runs["shop-staging"] = time.Now().String()
				default: // it has ended, and another one has begun
					n.Runs["shop-prod"] = time.Now().String()
					n.Digests = needed("staging", foundDigest).Digests
				}
				if looks == 4 {
					push(t, again, img)
				}
				return n, nil
			},
		})
		if err != nil || len(removed) != 1 || removed[0].Digest != goneDigest {
			t.Errorf("Prune = %v, %v, want %s", removed, err, goneDigest)
		}
		if len(waited) != 2 || !slices.Equal(waited[0], []string{"shop-staging"}) {
			t.Errorf("waited for %v", waited)
		}
		for ref, digest := range map[string]plan.Digest{found: foundDigest, again: againDigest} {
			if got, err := r.Resolve(t.Context(), ref); err != nil || got != digest {
				t.Errorf("%s = %s, %v, want %s", ref, got, err, digest)
			}
			if is(t, ref+removingSuffix) {
				t.Errorf("%s has kept its other tag", ref)
			}
		}
	})
}

// TestPruneIsUndone: if it is not known any more what is needed, or the user gives up, every
// image has the tags that it had. What a killed process leaves is removed by the next one.
func TestPruneIsUndone(t *testing.T) {
	eachRegistry(t, func(t *testing.T, r *Registry, aged func()) {
		broken := errors.New("the cluster is gone")
		ref, digest := built(t, r, "one", image(t))
		push(t, r.prefix+"/mirror/docker.io/library/x:"+string(digest[7:]), must(remote.Image(mustRef(t, ref)))(t))
		type end struct{}
		for _, row := range []struct {
			name   string
			second func(cancel func()) (Needs, error)
		}{
			{"error", func(func()) (Needs, error) { return Needs{}, broken }},
			{"cancelled", func(cancel func()) (Needs, error) {
				cancel()
				return Needs{Runs: map[string]string{"shop-staging": "1"}}, nil
			}},
			{"killed", func(func()) (Needs, error) { panic(end{}) }},
		} {
			name, second := row.name, row.second
			ctx, cancel := context.WithCancel(t.Context())
			looks := 0
			func() {
				defer func() {
					if p := recover(); p != nil && p != (end{}) {
						panic(p)
					}
				}()
				removed, err := r.Prune(ctx, keptImages(t, r), PruneOptions{Needs: func(context.Context) (Needs, error) {
					if looks++; looks == 1 {
						return Needs{}, nil
					}
					return second(cancel)
				}})
				if err == nil || len(removed) > 0 {
					t.Errorf("%s: Prune = %v, %v", name, removed, err)
				}
			}()
			cancel()
			if name == "killed" {
				if !is(t, ref+removingSuffix) || !is(t, r.prefix+"/web@"+string(digest)) {
					t.Error("a killed process has left an image without a tag")
				}
				continue
			}
			if got, err := r.Resolve(t.Context(), ref); err != nil || got != digest {
				t.Errorf("%s: %s = %s, %v", name, ref, got, err)
			}
		}
		aged()
		if removed := pruned(t, r, needed("staging", digest)); slices.Contains(removed, digest) || !is(t, r.prefix+"/web@"+string(digest)) {
			t.Errorf("removed %v, although it is needed", removed)
		}
		if removed := pruned(t, r, Needs{}); !slices.Contains(removed, digest) {
			t.Errorf("removed %v, want what the killed process has left", removed)
		}
	})
}

// TestPruneWithoutDelete: a registry that does not delete is left as it is.
func TestPruneWithoutDelete(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	r := machine(t, u.addr)
	ref, _ := built(t, r, "one", image(t))
	built(t, r, "two", image(t))
	u.when(func(w http.ResponseWriter, q *http.Request) bool {
		if q.Method == http.MethodDelete {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
		return q.Method == http.MethodDelete
	})
	kept := keptImages(t, r)
	u.seen("")
	removed, err := r.Prune(t.Context(), kept, PruneOptions{Needs: always(Needs{})})
	var unable *NoDeleteError
	if !errors.As(err, &unable) || unable.Status != http.StatusMethodNotAllowed || len(removed) > 0 {
		t.Errorf("Prune = %v, %v, want a NoDeleteError", removed, err)
	}
	for _, request := range u.seen("") {
		// The claim of the prune is not in the repository of an image.
		if method, _, _ := strings.Cut(request, " "); (method == http.MethodPut || method == http.MethodPost) && strings.Contains(request, "/web/") {
			t.Errorf("it has written: %s", request)
		}
	}
	if !is(t, ref) {
		t.Error("it is gone")
	}
}

// TestPruneClaimed: an image that another process builds is kept.
func TestPruneClaimed(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	r, other := machine(t, u.addr), machine(t, u.addr)
	ref, _ := built(t, r, "one", image(t))
	kept := keptImages(t, r)
	claim, err := other.Claim(t.Context(), ref, "ana@laptop", false)
	if err != nil {
		t.Fatal(err)
	}
	defer claim.Release(t.Context())
	r.claimTime = 3 * time.Second
	removed, err := r.Prune(t.Context(), kept, PruneOptions{Needs: always(Needs{})})
	if err != nil || len(removed) > 0 || !is(t, ref) || is(t, ref+removingSuffix) {
		t.Errorf("Prune = %v, %v; the image is there: %v", removed, err, is(t, ref))
	}
}

// TestPruneAlone: two processes do not prune one registry at the same time, and the claim of a
// dead one is taken over.
func TestPruneAlone(t *testing.T) {
	eachRegistry(t, func(t *testing.T, r *Registry, aged func()) {
		r.claimTime = 3 * time.Second // longer than the interval of renewals
		ref, _ := built(t, r, "one", image(t))
		kept := keptImages(t, r)
		roster := must(r.roster())(t)
		claim, err := newRegistry(t, r.prefix).claim(t.Context(), roster.Tag("prune"), "pipe images prune")
		if err != nil {
			t.Fatal(err)
		}
		if all, err := r.Clusters(t.Context()); err != nil || len(all) > 0 {
			t.Errorf("a claim is a cluster: %v, %v", all, err)
		}
		var claimed *runtime.ClaimedError
		if removed, err := r.Prune(t.Context(), kept, PruneOptions{Needs: always(Needs{})}); !errors.As(err, &claimed) || len(removed) > 0 || !is(t, ref) {
			t.Errorf("Prune beside another one = %v, %v, want a ClaimedError", removed, err)
		}
		claim.Release(t.Context())
		// A dead process does not renew its claim.
		push(t, roster.Tag("prune"+claimSuffix).String(), annotated(map[string]string{claimBy: "dead", claimWord: "w", claimNumber: "7"}))
		aged()
		if removed, err := r.Prune(t.Context(), kept, PruneOptions{Needs: always(Needs{})}); err != nil || len(removed) != 1 {
			t.Errorf("Prune after a dead one = %v, %v, want the image", removed, err)
		}
	})
}

// TestClusters: each cluster joins once.
func TestClusters(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	r := machine(t, u.addr+"/acme")
	at := time.Now().UTC().Truncate(time.Second)
	one := Cluster{ID: "one", Name: "https://one:6443", At: at}
	for i := range 2 {
		u.seen("")
		if err := r.Join(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		if n := len(u.seen("PUT")); (n > 0) != (i == 0) {
			t.Errorf("join %d wrote %d times", i, n)
		}
	}
	if err := machine(t, u.addr+"/acme").Join(t.Context(), Cluster{ID: "two", Name: "kind", At: at}); err != nil {
		t.Fatal(err)
	}
	all, err := r.Clusters(t.Context())
	if err != nil || len(all) != 2 || all[0] != one || all[1].Name != "kind" {
		t.Errorf("Clusters = %+v, %v", all, err)
	}
	if kept := keptImages(t, r); len(kept) != 0 {
		t.Errorf("the notes of clusters are images: %v", kept)
	}
	if err := r.Forget(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	if all, err := r.Clusters(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("Clusters = %+v, %v, want one", all, err)
	}
	if err := r.Join(t.Context(), Cluster{ID: "../two"}); err == nil {
		t.Error("a wrong ID has joined")
	}
	if all, err := machine(t, u.addr+"/other").Clusters(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("clusters of an empty registry: %v, %v", all, err)
	}
}

// TestMade: what was noted of an image is found by its digest, and a damaged note is an error.
func TestMade(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	r := machine(t, u.addr)
	noted := func(content string, m Made) string {
		ref := r.Ref("web", plan.DigestOf([]byte(content)))
		if err := r.Note(t.Context(), ref, m); err != nil {
			t.Fatal(err)
		}
		return r.prefix + "/web@" + string(push(t, ref, image(t)))
	}
	want := Made{
		Inputs: &runtime.ImageInputs{Dockerfile: "abcd", Files: map[string]string{"a": "644 1234"}, Count: 1},
		Bases:  []runtime.BaseImage{{Image: "docker.io/library/redis:7", Digest: plan.DigestOf(nil)}, {Image: "r.test/x", Digest: plan.DigestOf(nil), Pinned: true}},
	}
	one := noted("one", want)
	got, err := r.Made(t.Context(), one)
	if made := got.At; err != nil || time.Since(made) > time.Hour {
		t.Errorf("Made = %v, %v", made, err)
	}
	if got.At = (time.Time{}); !reflect.DeepEqual(got, want) {
		t.Errorf("Made = %+v, want %+v", got, want)
	}
	if got, err := r.Made(t.Context(), noted("two", Made{})); err != nil || got.At.IsZero() || got.Inputs != nil || got.Bases != nil {
		t.Errorf("with neither inputs nor bases: Made = %+v, %v", got, err)
	}
	if got, err := r.Made(t.Context(), noted("scratch", Made{Bases: []runtime.BaseImage{}})); err != nil || got.Bases == nil || len(got.Bases) > 0 {
		t.Errorf("without bases: Made = %+v, %v, want no bases, and that they are known", got, err)
	}
	other := r.prefix + "/web@" + string(push(t, r.prefix+"/web:v1", image(t)))
	if got, err := r.Made(t.Context(), other); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("of somebody else's image: Made = %+v, %v, want ErrNotFound", got, err)
	}
	huge := Made{Inputs: &runtime.ImageInputs{Files: map[string]string{}}}
	for i := range 60_000 {
		huge.Inputs.Files[rand.Text()] = strconv.Itoa(i)
	}
	for range 20_000 {
		huge.Bases = append(huge.Bases, runtime.BaseImage{Image: rand.Text(), Digest: plan.DigestOf(nil)})
	}
	if got, err := r.Made(t.Context(), noted("huge", huge)); err != nil || got.Inputs != nil || got.Bases != nil {
		t.Errorf("of too many files and bases: %v inputs, %d bases, %v, want none", got.Inputs != nil, len(got.Bases), err)
	}
	tag := r.Ref("web", plan.DigestOf([]byte("one"))) + noteSuffix
	for _, wrong := range []map[string]string{
		{noteInputs: "x"}, {noteInputs: "H4sIAAAAAAAA"}, {noteInputs: base64.StdEncoding.EncodeToString([]byte("no gzip"))},
		{noteBases: "x"}, {noteBases: `{"image":"x"}`}, {noteBases: `[{"image":"r.test/x:1","digest":"sha256:1"}]`},
		{noteBases: `[{"image":"r.test/\u001b[2Jx","digest":"` + string(plan.DigestOf(nil)) + `"}]`},
	} {
		push(t, tag, annotated(wrong))
		if got, err := r.Made(t.Context(), one); err == nil || errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("of the note %q: %+v, %v, want an error", wrong, got, err)
		}
	}
}
