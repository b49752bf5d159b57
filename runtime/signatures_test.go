package runtime_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// required returns a rule for all images, or those of some names, and a key.
func required(key string, images ...string) plan.SignatureRule {
	if images == nil {
		images = []string{"*"}
	}
	return plan.SignatureRule{Images: images, Keys: []string{key}, Pos: plan.Pos{File: "Pipelinefile", Line: 2, Col: 5}}
}

func signedBy(name string) *plan.Signing {
	return &plan.Signing{Key: plan.SecretRef{Name: name}, Pos: plan.Pos{File: "Pipelinefile", Line: 1, Col: 20}}
}

// refused runs a plan that must fail because of a signature, before anything is deployed or made.
func refused(t *testing.T, w *runtimetest.World, p *plan.Plan, want ...string) {
	t.Helper()
	writes := func() int {
		return w.Count("Builder.Build") + w.Count("Registry.Mirror") + w.Count("Deployer.Deploy") + w.Count("Signatures.Sign")
	}
	before := writes()
	_, previewed := w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
	_, err := run(t, w, runtime.Request{Plan: p})
	var failed *runtime.RunError
	if !errors.As(previewed, &failed) {
		t.Errorf("preview: %v, want a RunError", previewed)
	}
	for _, part := range want {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("run: %v, want an error with %q", err, part)
		}
	}
	if n := writes() - before; n != 0 {
		t.Errorf("%d writes of a run that must fail before: %v", n, w.Calls())
	}
}

// TestVerify: images of others are verified before anything is built, copied or deployed, in all
// stages (I16).
func TestVerify(t *testing.T) {
	w := runtimetest.NewWorld()
	redis, web := plan.DigestOf([]byte("redis")), plan.DigestOf([]byte("web"))
	w.Registry.Upstream("redis:7", redis)
	w.Registry.Upstream("ghcr.io/acme/web:1", web)
	p := pipeline(2)
	app(p, 1, "api")
	service(p, 1, "cache", plan.ImageSource{Mirror: "redis:7"})
	service(p, 2, "web", plan.ImageSource{Ref: "ghcr.io/acme/web:1"})
	p.Pipeline.Verify = []plan.SignatureRule{required("docker", "docker.io/*"), required("acme", "ghcr.io/acme/*")}

	refused(t, w, p, "redis:7 ("+string(redis)+") has no signature; signed() at Pipelinefile:2:5 requires one")
	w.Signatures.Add(redis, "acme")
	refused(t, w, p, "redis:7 ("+string(redis)+") has no valid signature: another key has signed it")
	w.Signatures.Add(redis, "docker")
	refused(t, w, p, "ghcr.io/acme/web:1 ("+string(web)+") has no signature")
	w.Signatures.Add(web, "acme")
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	// All rules that cover an image must be satisfied, and a key that is no longer in one is not
	// enough, also for what is deployed.
	p.Pipeline.Verify = append(p.Pipeline.Verify, required("security", "*/acme/*"))
	refused(t, w, p, "ghcr.io/acme/web:1")
	w.Signatures.Add(web, "security")
	if record, err := run(t, w, runtime.Request{Plan: p}); err != nil || states(record)["web"] != runtime.Unchanged {
		t.Errorf("run = %v, %v", record, err)
	}
	p.Pipeline.Verify[1].Keys = []string{"new"}
	refused(t, w, p, "ghcr.io/acme/web:1")
	p.Pipeline.Verify[1].Exclude = []string{"ghcr.io/acme/web"}
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Error(err)
	}
}

// TestVerifyMovedTag: a tag that moves between the look and the copy is verified again.
func TestVerifyMovedTag(t *testing.T) {
	w := runtimetest.NewWorld()
	good, bad := plan.DigestOf([]byte("good")), plan.DigestOf([]byte("bad"))
	w.Registry.Upstream("redis:7", good)
	w.Signatures.Add(good, "key")
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Registry.Mirror" {
			w.Registry.Upstream("redis:7", bad)
		}
		return nil
	}
	p := pipeline(1)
	service(p, 1, "cache", plan.ImageSource{Mirror: "redis:7"})
	p.Pipeline.Verify = []plan.SignatureRule{required("key")}
	_, err := run(t, w, runtime.Request{Plan: p})
	var unsigned *runtime.UnsignedError
	if !errors.As(err, &unsigned) || w.Count("Deployer.Deploy") != 0 {
		t.Errorf("run = %v with %d deploys, want an UnsignedError and none", err, w.Count("Deployer.Deploy"))
	}
}

// TestVerifyUnreachable: a registry that does not answer is not an image without signatures, and
// the tag of an image whose digest is not known cannot be verified.
func TestVerifyUnreachable(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Registry.Upstream("ghcr.io/acme/web:1", plan.DigestOf([]byte("web")))
	fail := ""
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == fail {
			return runtime.ErrUnreachable
		}
		return nil
	}
	p := pipeline(1)
	service(p, 1, "web", plan.ImageSource{Ref: "ghcr.io/acme/web:1"})
	p.Pipeline.Verify = []plan.SignatureRule{required("key")}
	fail = "Signatures.Verify"
	refused(t, w, p, "verify the signatures of ghcr.io/acme/web:1, which signed() at Pipelinefile:2:5 requires: unreachable")
	fail = "Registry.Resolve"
	refused(t, w, p, "the signatures of ghcr.io/acme/web:1 cannot be verified, because its digest is not known: unreachable")
}

// TestVerifyWithout: a runtime without signatures does not ignore rules.
func TestVerifyWithout(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Registry.Upstream("redis:7", plan.DigestOf([]byte("redis")))
	p := pipeline(1)
	service(p, 1, "cache", plan.ImageSource{Mirror: "redis:7"})
	app(p, 1, "web")
	for _, set := range []func(){
		func() { p.Pipeline.Verify = []plan.SignatureRule{required("key", "docker.io/*")} },
		func() { p.Pipeline.Verify, p.Pipeline.Sign = nil, signedBy("key") },
	} {
		set()
		rt := w.Runtime()
		rt.Signatures = nil
		_, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
		if err == nil || !strings.Contains(err.Error(), "cannot sign images or verify signatures") {
			t.Errorf("run = %v", err)
		}
	}
}

// TestSign: an image that is built is signed before it is deployed; one that the key has signed
// is used as it is, and one that it has not signed is built again (I15).
func TestSign(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	app(p, 1, "web")
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	was := w.Deployer.Releases("shop-staging")["web"].Image

	p.Pipeline.Sign = signedBy("key")
	// A preview needs no key, and then does not know that the image is not signed.
	steps, err := w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
	if err != nil || steps[0].Image != "" {
		t.Errorf("preview without the key: %v, %v", steps, err)
	}
	_, err = run(t, w, runtime.Request{Plan: p})
	if !errors.Is(err, runtime.ErrNotFound) || !strings.Contains(err.Error(), "Pipelinefile:1:20: the key of sign=: secret key") {
		t.Errorf("run without the key: %v", err)
	}
	if advice, ok := runtime.AdviceOf(err); !ok || !strings.Contains(advice.Do, "--secrets") {
		t.Errorf("advice %v", advice)
	}
	w.Signatures.Give("key")
	steps, err = w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
	if err != nil || steps[0].Image != runtime.ImageBuild || !strings.Contains(steps[0].Why, "not signed by the signer of sign=") {
		t.Errorf("preview: %v, %v", steps, err)
	}
	for i, want := range []struct{ builds, signs int }{{2, 1}, {2, 1}} {
		record, err := run(t, w, runtime.Request{Plan: p})
		if err != nil || states(record)["web"] != runtime.Unchanged {
			t.Fatalf("run %d: %v, %v", i, record, err)
		}
		if b, s := w.Count("Builder.Build"), w.Count("Signatures.Sign"); b != want.builds || s != want.signs {
			t.Errorf("run %d: %d builds, %d signatures, want %v", i, b, s, want)
		}
	}
	if is := w.Deployer.Releases("shop-staging")["web"].Image; is != was {
		t.Errorf("the signature has changed the image from %s to %s", was, is)
	}
	// A rule for the image is satisfied by the run itself, if it has the key.
	p.Pipeline.Verify = []plan.SignatureRule{required("key")}
	w.Builder.SetSource("web", "changed")
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Error(err)
	}
	w.Builder.SetSource("web", "changed again")
	p.Pipeline.Verify = []plan.SignatureRule{required("other")}
	refused(t, w, p, "image of web would be signed by the key of Pipelinefile:1:20, which is not one of the rule")
	p.Pipeline.Sign = nil
	refused(t, w, p, "image of web would be built without a signature; signed() at Pipelinefile:2:5 requires one")
}

// TestSignFails: an image that cannot be signed is not deployed, and the next run makes it again.
func TestSignFails(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Signatures.Give("key")
	p := pipeline(1)
	app(p, 1, "web")
	p.Pipeline.Sign = signedBy("key")
	fail := true
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Signatures.Sign" && fail {
			return errors.New("the registry does not accept it")
		}
		return nil
	}
	_, err := run(t, w, runtime.Request{Plan: p})
	if err == nil || !strings.Contains(err.Error(), "sign image of web: the registry does not accept it") || w.Count("Deployer.Deploy") != 0 {
		t.Errorf("run = %v with %d deploys", err, w.Count("Deployer.Deploy"))
	}
	fail = false
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil || w.Count("Deployer.Deploy") != 1 {
		t.Errorf("second run = %v with %d deploys", err, w.Count("Deployer.Deploy"))
	}
}

// TestSignOtherRun: a run that signs does not take the image of a run that does not, which is
// in the registry when it has waited for its claim.
func TestSignOtherRun(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Signatures.Give("key")
	p := pipeline(1)
	app(p, 1, "web")
	p.Pipeline.Sign = signedBy("key")
	pushed := false
	w.Hook = func(ctx context.Context, c runtimetest.Call) error {
		if c.Op == "Registry.Claim" && !pushed {
			pushed = true
			i := slices.IndexFunc(w.Calls(), func(c runtimetest.Call) bool { return c.Op == "Registry.Resolve" })
			w.Registry.Push(w.Calls()[i].Subject, plan.DigestOf([]byte("of somebody else")))
		}
		return nil
	}
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	if !pushed || w.Count("Builder.Build") != 1 || w.Count("Signatures.Sign") != 1 {
		t.Errorf("pushed %t, %d builds, %d signatures, want one of each", pushed, w.Count("Builder.Build"), w.Count("Signatures.Sign"))
	}
}

// TestVerifyUnneededBase: an image that is needed only for building need not be made, and need
// not be signed, if what is built from it is there.
func TestVerifyUnneededBase(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Signatures.Give("key")
	p := pipeline(1)
	app(p, 1, "base")
	p.Services = nil
	web := app(p, 1, "web")
	p.Build("web").ImageArgs = map[string]plan.ImageSource{"BASE": {Build: "base"}}
	p.Pipeline.Sign = signedBy("key")
	p.Pipeline.Verify = []plan.SignatureRule{required("key")}
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	was := w.Deployer.Releases("shop-staging")[web.Name].Image
	name, digest, _ := strings.Cut(was, "@")
	w.Registry.Forget()
	for _, c := range w.Calls() { // only the base is lost
		if c.Op == "Registry.Resolve" && strings.HasPrefix(c.Subject, name+":") {
			w.Registry.Push(c.Subject, plan.Digest(digest))
		}
	}
	p.Pipeline.Sign = nil
	if record, err := run(t, w, runtime.Request{Plan: p}); err != nil || states(record)["web"] != runtime.Unchanged {
		t.Errorf("run = %v, %v", states(record), err)
	}
}

// TestSignInSession: a run that signs does not take what an older run of the session, which does
// not, is building.
func TestSignInSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = builds10
		w.Signatures.Give("key")
		p := pipeline(1)
		app(p, 1, "a")
		r := during(t, w, p, change{0, nil}, change{3 * time.Second, func(_ *runtimetest.World, p *plan.Plan) { p.Pipeline.Sign = signedBy("key") }})
		if !errors.Is(r[0].err, runtime.ErrStale) || r[1].err != nil {
			t.Errorf("runs: %v, %v, want a stale one and none", r[0].err, r[1].err)
		}
		image := w.Deployer.Releases("shop-staging")["a"].Image
		if err := w.Signatures.Verify(t.Context(), image, "", plan.Signers{Keys: []string{"key"}}); err != nil {
			t.Error(err)
		}
	})
}

// TestKeyless: a plan names the identity that signs, so that it is known without a token, which only a run
// needs.
func TestKeyless(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	app(p, 1, "web")
	identity := func(name string) plan.Identity { return plan.Identity{Issuer: "https://issuer.test", Name: name} }
	rule := required("")
	rule.Keys, rule.Identities = nil, []plan.Identity{identity("release")}
	p.Pipeline.Sign = &plan.Signing{Keyless: &plan.Keyless{Identity: identity("release")}, Pos: plan.Pos{File: "Pipelinefile", Line: 1, Col: 20}}
	p.Pipeline.Verify = []plan.SignatureRule{rule}

	if _, err := w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p}); err != nil {
		t.Errorf("preview without a token: %v", err)
	}
	_, err := run(t, w, runtime.Request{Plan: p})
	if err == nil || !strings.Contains(err.Error(), "Pipelinefile:1:20: the images cannot be signed: an identity token: not found") || w.Count("Builder.Build") > 0 {
		t.Errorf("run without a token: %v, %v", err, w.Calls())
	}
	w.Signatures.Give("release")
	for range 2 {
		if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
			t.Fatal(err)
		}
	}
	if b, s := w.Count("Builder.Build"), w.Count("Signatures.Sign"); b != 1 || s != 1 {
		t.Errorf("%d builds and %d signatures, want 1 each", b, s)
	}

	p.Pipeline.Verify[0].Identities = []plan.Identity{identity("other")}
	refused(t, w, p, "another key has signed it", "signed() at Pipelinefile:2:5 requires one")
	p.Pipeline.Sign.Keyless.Identity = identity("hotfix")
	w.Signatures.Give("hotfix")
	refused(t, w, p, "would be signed by hotfix, the identity of Pipelinefile:1:20, which the rule does not accept")
	p.Pipeline.Sign = signedBy("key")
	w.Signatures.Give("key")
	refused(t, w, p, "would be signed by the key of Pipelinefile:1:20")
	p.Pipeline.Verify[0].Keys = []string{"key"}
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Errorf("run with a key that the rule also accepts: %v", err)
	}
}
