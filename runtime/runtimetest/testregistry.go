package runtimetest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A RegistryTest configures TestRegistry.
type RegistryTest struct {
	Registry runtime.Registry
	// Push pushes an image to ref, a result of Registry.Ref, and returns the digest of its
	// manifest.
	Push func(t *testing.T, ref string) plan.Digest
	// Upstream pushes a new, unique image to another registry, or moves its tag there, and
	// returns its digest. name is, for example, "redis:7"; src is the reference to the image.
	Upstream func(t *testing.T, name string) (src string, digest plan.Digest)
	// Missing is a reference to an image that does not exist in an upstream registry.
	Missing string
	// Claims says that the registry keeps claims, and does not grant them all.
	Claims bool
}

// TestRegistry checks the contract of [runtime.Registry].
func TestRegistry(t *testing.T, rt RegistryTest) {
	for name, test := range map[string]func(*testing.T, RegistryTest){
		"ref":       testRegistryRef,
		"resolve":   testRegistryResolve,
		"mirror":    testRegistryMirror,
		"moved tag": testRegistryMoved,
		"missing":   testRegistryMissing,
		"claims":    testRegistryClaims,
		"cancelled": testRegistryCancelled,
	} {
		t.Run(name, func(t *testing.T) { test(t, rt) })
	}
}

func discard(runtime.Body) {}

func identity() plan.Digest { return plan.DigestOf([]byte(Unique("identity"))) }

func testRegistryRef(t *testing.T, rt RegistryTest) {
	one, two := identity(), identity()
	ref := rt.Registry.Ref("api", one)
	if again := rt.Registry.Ref("api", one); again != ref {
		t.Errorf("Ref of one identity is %q and %q", ref, again)
	}
	if other := rt.Registry.Ref("api", two); other == ref {
		t.Errorf("Ref of two identities is %q", ref)
	}
	if i := strings.LastIndexByte(ref, ':'); i < strings.LastIndexByte(ref, '/') || strings.Contains(ref, "@") {
		t.Errorf("Ref = %q, want one with a tag", ref)
	}
}

func testRegistryResolve(t *testing.T, rt RegistryTest) {
	ref := rt.Registry.Ref("api", identity())
	if d, err := rt.Registry.Resolve(t.Context(), ref); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Resolve of nothing = %q, %v, want ErrNotFound", d, err)
	}
	want := rt.Push(t, ref)
	got, err := rt.Registry.Resolve(t.Context(), ref)
	if err != nil || got != want {
		t.Errorf("Resolve(%q) = %q, %v, want %q", ref, got, err, want)
	}
	byDigest := runtime.ByDigest(ref, want)
	if got, err := rt.Registry.Resolve(t.Context(), byDigest); err != nil || got != want {
		t.Errorf("Resolve(%q) = %q, %v, want %q", byDigest, got, err, want)
	}
	// Images that are not mirrored are resolved in their own registry.
	src, want := rt.Upstream(t, Unique("resolve")+":1")
	if got, err := rt.Registry.Resolve(t.Context(), src); err != nil || got != want {
		t.Errorf("Resolve(%q) = %q, %v, want %q", src, got, err, want)
	}
}

func testRegistryMirror(t *testing.T, rt RegistryTest) {
	src, digest := rt.Upstream(t, Unique("mirror")+":1")
	want, there, err := rt.Registry.Mirrored(t.Context(), src)
	if err != nil || there {
		t.Fatalf("Mirrored(%q) = %q, %v, %v, want not there", src, want, there, err)
	}
	if !strings.HasSuffix(want, "@"+string(digest)) {
		t.Errorf("Mirrored(%q) = %q, want a reference by %s", src, want, digest)
	}
	if _, err := rt.Registry.Resolve(t.Context(), want); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Mirrored changed something: Resolve = %v, want ErrNotFound", err)
	}
	for _, wantCopied := range []bool{true, false} {
		ref, copied, err := rt.Registry.Mirror(t.Context(), src, discard)
		if err != nil || ref != want || copied != wantCopied {
			t.Errorf("Mirror(%q) = %q, %v, %v, want %q, %v", src, ref, copied, err, want, wantCopied)
		}
		if got, err := rt.Registry.Resolve(t.Context(), ref); err != nil || got != digest {
			t.Errorf("Resolve of the mirrored image = %q, %v, want %q", got, err, digest)
		}
		if ref, there, err := rt.Registry.Mirrored(t.Context(), src); err != nil || ref != want || !there {
			t.Errorf("Mirrored after Mirror = %q, %v, %v, want %q, there", ref, there, err, want)
		}
	}
	// Also by digest.
	ref, _, err := rt.Registry.Mirror(t.Context(), runtime.ByDigest(src, digest), discard)
	if err != nil || !strings.HasSuffix(ref, "@"+string(digest)) {
		t.Errorf("Mirror by digest = %q, %v", ref, err)
	}
}

func testRegistryMoved(t *testing.T, rt RegistryTest) {
	name := Unique("moved") + ":latest"
	src, _ := rt.Upstream(t, name)
	first, _, err := rt.Registry.Mirror(t.Context(), src, discard)
	if err != nil {
		t.Fatalf("Mirror = %v", err)
	}
	_, digest := rt.Upstream(t, name)
	if ref, there, err := rt.Registry.Mirrored(t.Context(), src); err != nil || there || ref == first {
		t.Errorf("Mirrored of a moved tag = %q, %v, %v, want another image", ref, there, err)
	}
	second, copied, err := rt.Registry.Mirror(t.Context(), src, discard)
	if err != nil || !copied || !strings.HasSuffix(second, "@"+string(digest)) {
		t.Errorf("Mirror of a moved tag = %q, %v, %v, want %s copied", second, copied, err, digest)
	}
	// Releases still use the previous image, so it is kept.
	if _, err := rt.Registry.Resolve(t.Context(), first); err != nil {
		t.Errorf("the former image is gone: %v", err)
	}
}

func testRegistryMissing(t *testing.T, rt RegistryTest) {
	if ref, _, err := rt.Registry.Mirrored(t.Context(), rt.Missing); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Mirrored(%q) = %q, %v, want ErrNotFound", rt.Missing, ref, err)
	}
	if ref, _, err := rt.Registry.Mirror(t.Context(), rt.Missing, discard); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Mirror(%q) = %q, %v, want ErrNotFound", rt.Missing, ref, err)
	}
}

func testRegistryCancelled(t *testing.T, rt RegistryTest) {
	src, _ := rt.Upstream(t, Unique("cancelled")+":1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := rt.Registry.Mirror(ctx, src, discard); !errors.Is(err, context.Canceled) {
		t.Errorf("Mirror with a cancelled context = %v", err)
	}
	if _, there, err := rt.Registry.Mirrored(t.Context(), src); err != nil || there {
		t.Errorf("after a cancelled Mirror: there=%v, %v", there, err)
	}
}

func testRegistryClaims(t *testing.T, rt RegistryTest) {
	ctx, ref, other := t.Context(), rt.Registry.Ref("api", identity()), rt.Registry.Ref("api", identity())
	first, err := rt.Registry.Claim(ctx, ref, "ana@laptop", false)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := rt.Registry.Claim(ctx, other, "ben@server", false)
	if err != nil {
		t.Fatalf("Claim of another image = %v", err)
	}
	defer elsewhere.Release(ctx)
	second, err := rt.Registry.Claim(ctx, ref, "ben@server", false)
	var claimed *runtime.ClaimedError
	switch {
	case !rt.Claims && err == nil:
		second.Release(ctx)
	case !rt.Claims || !errors.As(err, &claimed) || claimed.Ref != ref || claimed.By != "ana@laptop":
		t.Fatalf("Claim of a claimed image = %v, %v", second, err)
	}
	select {
	case <-first.Lost():
		t.Error("the claim is lost, though nobody has it")
	default:
	}
	if _, err := rt.Registry.Resolve(ctx, ref); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Resolve of a claimed image = %v, want ErrNotFound", err)
	}
	first.Release(ctx)
	third, err := rt.Registry.Claim(ctx, ref, "ben@server", false)
	if err != nil {
		t.Fatalf("Claim of a released image = %v", err)
	}
	third.Release(ctx)
}
