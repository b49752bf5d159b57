package registry

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/bcrypt"

	"github.com/pipelinefile/pipe/runtime"
)

// helperFile is the credential helper of these tests: the test binary under another name.
const helperFile = "docker-credential-fake"

// helper looks up the credentials of a host in a file that a test wrote, and records the
// request.
func helper(in io.Reader, out io.Writer) int {
	host, err := io.ReadAll(in)
	if err != nil || os.Args[1] != "get" {
		return 2
	}
	base := filepath.Join(os.Getenv("DOCKER_CONFIG"), strings.TrimSpace(string(host)))
	if asked, err := os.OpenFile(base+".asked", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
		fmt.Fprintln(asked, "get")
		asked.Close()
	}
	data, err := os.ReadFile(base + ".login")
	if err != nil {
		fmt.Fprintln(out, "credentials not found in native keychain")
		return 1
	}
	user, secret, ok := strings.Cut(string(data), ":")
	fmt.Fprintf(out, `{"ServerURL":%q,"Username":%q,"Secret":%q}`, host, user, secret)
	if !ok {
		return 1 // a helper that prints its answer and then fails
	}
	return 0
}

var configMu sync.Mutex

// useHelper configures a credential helper for a host until the end of the test, because
// another test may get the same port later.
func useHelper(t *testing.T, host, helper string) {
	t.Helper()
	configure(t, func(helpers map[string]string) { helpers[host] = helper })
	t.Cleanup(func() { configure(t, func(helpers map[string]string) { delete(helpers, host) }) })
}

// configure changes the credential helpers in Docker's config.json.
func configure(t *testing.T, change func(helpers map[string]string)) {
	t.Helper()
	configMu.Lock()
	defer configMu.Unlock()
	file := filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json")
	config := struct {
		CredHelpers map[string]string `json:"credHelpers"`
	}{map[string]string{}}
	if data, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(data, &config); err != nil {
			t.Fatal(err)
		}
	}
	change(config.CredHelpers)
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// logIn gives the helper credentials for a host.
func logIn(t *testing.T, host, credentials string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), host+".login"), []byte(credentials), 0o600); err != nil {
		t.Fatal(err)
	}
}

func timesAsked(t *testing.T, host string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), host+".asked"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(data), "get")
}

// withPasswords starts a registry that requires a name and a password: pipe and hunter2.
func withPasswords(t *testing.T) (addr string) {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("hunter2"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, append([]byte("pipe:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &configuration.Configuration{
		Storage: configuration.Storage{"inmemory": {}, "maintenance": {"uploadpurging": map[any]any{"enabled": false}}},
		Auth:    configuration.Auth{"htpasswd": {"realm": "test", "path": file}},
	}
	server := httptest.NewServer(handlers.NewApp(t.Context(), c))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func noSecret(t *testing.T, err error, secrets ...string) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, s := range append(secrets, "hunter2", base64.StdEncoding.EncodeToString([]byte("pipe:hunter2"))) {
		if strings.Contains(text, s) {
			t.Errorf("the error shows the secret %s: %s", s, text)
		}
	}
}

func TestCredentialHelper(t *testing.T) {
	t.Parallel()
	addr, u := withPasswords(t), newUpstream(t)
	useHelper(t, addr, "fake")
	logIn(t, addr, "pipe:hunter2")
	r := newRegistry(t, addr)
	for i := range 5 {
		src := fmt.Sprintf("%s/web%d:1", u.addr, i)
		digest := push(t, src, image(t))
		ref, copied := mirror(t, r, src)
		if !copied {
			t.Errorf("%s was not copied", src)
		}
		if got, err := r.Resolve(t.Context(), ref); err != nil || got != digest {
			t.Errorf("Resolve = %s, %v; want %s", got, err, digest)
		}
	}
	if n := timesAsked(t, addr); n != 1 {
		t.Errorf("the helper was started %d times for five repositories, want once", n)
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	addr := withPasswords(t)
	useHelper(t, addr, "fake")
	logIn(t, addr, "pipe:hunter22")
	_, err := newRegistry(t, addr).Resolve(t.Context(), addr+"/web:1")
	want := fmt.Sprintf(`image %s/web:1: registry %s rejected the credentials for it (authentication required): run "docker login %s"`, addr, addr, addr)
	if err == nil || err.Error() != want {
		t.Errorf("Resolve = %v\nwant %s", err, want)
	}
	noSecret(t, err)
}

func TestNoPassword(t *testing.T) {
	t.Parallel()
	addr := withPasswords(t)
	_, err := newRegistry(t, addr).Resolve(t.Context(), addr+"/web:1")
	want := fmt.Sprintf(`image %s/web:1: registry %s requires credentials, and none were found for it (authentication required): run "docker login %s"`, addr, addr, addr)
	if err == nil || err.Error() != want {
		t.Errorf("Resolve = %v\nwant %s", err, want)
	}
	// If it is an upstream, the image may also be missing.
	s := ours(t)
	_, _, err = newRegistry(t, s.Addr).Mirror(t.Context(), addr+"/web:1", discard)
	want = fmt.Sprintf(`image %s/web:1: not found in registry %s, or private (authentication required): check the name, or run "docker login %s"`, addr, addr, addr)
	if err == nil || err.Error() != want {
		t.Errorf("Mirror = %v\nwant %s", err, want)
	}
}

// If valid credentials expire while pipe watches, new ones are used.
func TestCredentialsThatRunOut(t *testing.T) {
	t.Parallel()
	addr := withPasswords(t)
	useHelper(t, addr, "fake")
	logIn(t, addr, "pipe:hunter2")
	r := newRegistry(t, addr)
	ref := addr + "/web:1"
	parsed := mustRef(t, ref)
	if err := remote.Write(parsed, image(t), remote.WithAuth(&authn.Basic{Username: "pipe", Password: "hunter2"})); err != nil {
		t.Fatal(err)
	}
	logIn(t, addr, "pipe:old")
	if _, err := r.Resolve(t.Context(), ref); err == nil {
		t.Fatal("Resolve with an old password: no error")
	}
	logIn(t, addr, "pipe:hunter2")
	if _, err := r.Resolve(t.Context(), ref); err == nil {
		t.Error("credentials that were just refused were asked for again immediately")
	}
	r.mu.Lock()
	r.session.began = time.Now().Add(-time.Minute)
	r.mu.Unlock()
	if _, err := r.Resolve(t.Context(), ref); err != nil {
		t.Errorf("Resolve with new credentials = %v", err)
	}
}

func TestHelperFails(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ helper, login, want string }{
		{"missing", "", `error getting credentials - err: exec: "docker-credential-missing": executable file not found in $PATH`},
		{"fake", "hunter2", "error getting credentials - err: exit status 1"},
	} {
		s := ours(t)
		useHelper(t, s.Addr, row.helper)
		logIn(t, s.Addr, row.login)
		_, err := newRegistry(t, s.Addr).Resolve(t.Context(), s.Addr+"/web:1")
		want := fmt.Sprintf("image %s/web:1: the credentials for registry %s cannot be looked up: %s: see credsStore and credHelpers in Docker's config.json",
			s.Addr, s.Addr, row.want)
		if err == nil || err.Error() != want {
			t.Errorf("Resolve = %v\nwant %s", err, want)
		}
		noSecret(t, err)
	}
}

// withTokens makes an upstream issue tokens to anyone, as most public registries do; only a
// token for pipe gives access to private images.
func withTokens(t *testing.T, u *upstream) (tokens *atomic.Int32) {
	t.Helper()
	tokens = &atomic.Int32{}
	deny := func(w http.ResponseWriter, r *http.Request, message string) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test"`, u.addr))
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"errors":[{"code":"UNAUTHORIZED","message":%q}]}`, message)
	}
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		user, password, hasLogin := r.BasicAuth()
		valid := fmt.Sprintf("-token-%d", tokens.Load())
		switch given := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); {
		case r.URL.Path == "/token" && hasLogin && (user != "pipe" || password != "hunter2"):
			deny(w, r, "incorrect username or password")
		case r.URL.Path == "/token" && hasLogin:
			fmt.Fprintf(w, `{"token":"pipe-token-%d"}`, tokens.Load())
		case r.URL.Path == "/token":
			fmt.Fprintf(w, `{"token":"anyone-token-%d"}`, tokens.Load())
		case !strings.HasSuffix(given, valid):
			deny(w, r, "authentication required")
		case strings.Contains(r.URL.Path, "/private/") && given != "pipe"+valid:
			deny(w, r, "access to the resource is denied")
		default:
			return false
		}
		return true
	})
	return tokens
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	src := u.addr + "/private/web:1"
	push(t, src, image(t))
	push(t, u.addr+"/public/web:1", image(t))
	tokens := withTokens(t, u)
	mirror(t, newRegistry(t, s.Addr), u.addr+"/public/web:1")

	_, _, err := newRegistry(t, s.Addr).Mirror(t.Context(), src, discard)
	want := fmt.Sprintf(`image %s: not found in registry %s, or private (access to the resource is denied): check the name, or run "docker login %s"`, src, u.addr, u.addr)
	if err == nil || err.Error() != want {
		t.Errorf("Mirror by nobody = %v\nwant %s", err, want)
	}
	noSecret(t, err, "anyone-token")

	useHelper(t, u.addr, "fake")
	logIn(t, u.addr, "pipe:wrong")
	_, _, err = newRegistry(t, s.Addr).Mirror(t.Context(), src, discard)
	want = fmt.Sprintf(`image %s: registry %s rejected the credentials for it (incorrect username or password): run "docker login %s"`, src, u.addr, u.addr)
	if err == nil || err.Error() != want {
		t.Errorf("Mirror with a wrong password = %v\nwant %s", err, want)
	}

	logIn(t, u.addr, "pipe:hunter2")
	r := newRegistry(t, s.Addr)
	want, _ = mirror(t, r, src)
	tokens.Add(1) // all tokens issued so far have expired
	if got, copied := mirror(t, r, src); got != want || copied {
		t.Errorf("Mirror with a token that ran out = %s, %v; want %s", got, copied, want)
	}

	_, err = r.Resolve(t.Context(), u.addr+"/private/nothing:1")
	want = fmt.Sprintf("image %s/private/nothing:1: not found in registry %s: check the name and the tag", u.addr, u.addr)
	if err == nil || err.Error() != want {
		t.Errorf("Resolve of nothing = %v\nwant %s", err, want)
	}
}

// newDenying returns a registry that answers that all is forbidden, as some do for what does not
// exist, although the credentials are right.
func newDenying(t *testing.T) *upstream {
	t.Helper()
	u := newUpstream(t)
	useHelper(t, u.addr, "fake")
	logIn(t, u.addr, "pipe:hunter2")
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path == "/token":
			fmt.Fprint(w, `{"token":"t0ken"}`)
		case r.Header.Get("Authorization") == "":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token"`, u.addr))
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`)
		}
		return true
	})
	return u
}

// Some registries answer that an image is forbidden if it does not exist. This must count as
// not found, or the first image would never be pushed.
func TestRefusedMayBeMissing(t *testing.T) {
	t.Parallel()
	u := newDenying(t)
	r := newRegistry(t, u.addr)
	_, err := r.Resolve(t.Context(), r.Ref("web", "sha256:x"))
	want := fmt.Sprintf(`image %s/web:x: not found in registry %s, or the credentials for it do not give access `+
		`(requested access to the resource is denied): check the name, or run "docker login %s"`, u.addr, u.addr, u.addr)
	if err == nil || err.Error() != want || !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Resolve = %v\nwant %s", err, want)
	}
	noSecret(t, err, "t0ken")
}
