package serve

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// as adds a password to the writes of a client, as pipe does.
type as struct{ password string }

func (a as) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		r = r.Clone(r.Context())
		r.SetBasicAuth(Writer, a.password)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// pushed pushes with the password in the file of the registry in dir.
func pushed(t *testing.T, dir string, ref name.Reference, img v1.Image) v1.Hash {
	t.Helper()
	password, err := Password(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithTransport(as{password})); err != nil {
		t.Fatalf("push %s: %v", ref, err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	var failed *transport.Error
	if !errors.As(err, &failed) || failed.StatusCode != http.StatusUnauthorized {
		t.Errorf("%s = %v, want 401", what, err)
	}
}

// TestOnlyTheOwnerWrites: without the password, pushing, moving and deleting fail, and
// everything can be pulled. Each process has a new password, and only its owner can read it.
func TestOnlyTheOwnerWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := inBackground(t, dir, "1h")
	a := ensure(t, o)
	ref := reference(t, a.Addr, "shop/web:identity")
	digest := pushed(t, dir, ref, image(t, 1000))
	old, err := Password(dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(passwordFile(dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of the password: %v, %v", info, err)
	}
	other := image(t, 1000)
	refused(t, "push without a password", remote.Write(ref, other))
	refused(t, "push with a wrong password", remote.Write(ref, other, remote.WithTransport(as{"wrong"})))
	refused(t, "push with credentials of another user", remote.Write(ref, other, remote.WithAuth(&authn.Basic{Username: "ana", Password: old})))
	refused(t, "deletion", remote.Delete(ref.Context().Digest(digest.String())))
	if desc, err := remote.Get(ref); err != nil || desc.Digest != digest {
		t.Errorf("the image is %v, %v, want %v", desc, err, digest)
	}

	// A damaged password file is repaired by the next write that is rejected.
	for _, damage := range []func() error{
		func() error { return os.WriteFile(passwordFile(dir), []byte("x"), 0o600) },
		func() error { return os.Remove(passwordFile(dir)) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		refused(t, "push with what the damaged file says", remote.Write(ref, other, remote.WithTransport(as{"x"})))
		pushed(t, dir, reference(t, a.Addr, "shop/web:again"), other)
	}

	if err := o.Process().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ensure(t, o)
	refused(t, "push with the password of the process before", remote.Write(ref, other, remote.WithTransport(as{old})))
	pushed(t, dir, ref, other)
	if left, err := filepath.Glob(filepath.Join(dir, "password.*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
