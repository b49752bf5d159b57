package chart

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	ociregistry "github.com/google/go-containerregistry/pkg/registry"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/registry"

	"github.com/pipelinefile/pipe/plan"
)

// writeChart writes a chart with the given files over a minimal one.
func writeChart(t *testing.T, dir, name string, extra map[string]string) {
	t.Helper()
	files := map[string]string{
		"Chart.yaml":               "apiVersion: v2\nname: " + name + "\nversion: 1.2.3\n",
		"values.yaml":              "text: own\n",
		"templates/configmap.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\ndata:\n  values: {{ .Values | toJson | quote }}\n",
	}
	for path, text := range extra {
		files[path] = text
	}
	for path, text := range files {
		path = filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// pack returns the .tgz of a minimal chart.
func pack(t *testing.T, name string, extra map[string]string) []byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	writeChart(t, dir, name, extra)
	c, err := loader.LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	path, err := chartutil.Save(c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func service(ref plan.Chart) plan.Service { return plan.Service{Name: "api", Chart: &ref} }

func TestLoadDirectory(t *testing.T) {
	dir := t.TempDir()
	writeChart(t, filepath.Join(dir, "deploy", "web"), "web", nil)
	if err := os.WriteFile(filepath.Join(dir, "one.yaml"), []byte("text: one\nlist: [1, 2]\nmap: {a: 1, b: 1}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "two.yaml"), []byte("map: {b: 2}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	shelf := NewShelf(dir, t.TempDir())
	ref := plan.Chart{Ref: "deploy/web", ValuesFiles: []string{"one.yaml", "two.yaml"}}
	c, err := shelf.Chart(t.Context(), service(ref), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := c.Values(Use{Pipeline: "shop", Environment: "dev", Service: "api", Values: map[string]any{"text": "Pipelinefile", "map": map[string]any{"c": nil}}})
	want := map[string]any{
		"text": "Pipelinefile", "list": []any{1.0, 2.0}, "map": map[string]any{"a": 1.0, "b": 2.0, "c": nil},
		"global": map[string]any{"pipe": map[string]any{"pipeline": "shop", "environment": "dev", "service": "api"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Values (-want +got):\n%s", diff)
	}

	// The same chart is loaded once; one that has changed has another digest.
	again, err := shelf.Chart(t.Context(), service(ref), nil)
	if err != nil || again != c {
		t.Errorf("the chart is loaded twice: %v", err)
	}
	digest := func() plan.Digest {
		t.Helper()
		c, err := NewShelf(dir, t.TempDir()).Chart(t.Context(), service(ref), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Digest
	}
	if digest() != c.Digest {
		t.Error("two digests of one chart")
	}
	for _, file := range []string{"two.yaml", "deploy/web/values.yaml", "deploy/web/templates/configmap.yaml"} {
		before := digest()
		path := filepath.Join(dir, file)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(data, "# changed\n"...), 0o666); err != nil {
			t.Fatal(err)
		}
		if digest() == before {
			t.Errorf("the digest does not depend on %s", file)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	writeChart(t, filepath.Join(dir, "web"), "web", nil)
	writeChart(t, filepath.Join(dir, "lib"), "lib", map[string]string{"Chart.yaml": "apiVersion: v2\nname: lib\nversion: 1.0.0\ntype: library\n"})
	writeChart(t, filepath.Join(dir, "bad"), "bad", map[string]string{"Chart.yaml": "apiVersion: v2\nname: bad\n"})
	writeChart(t, filepath.Join(dir, "values"), "values", map[string]string{"values.yaml": "a: [\n"})
	writeChart(t, filepath.Join(dir, "alias"), "alias", map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: alias\nversion: 1.0.0\ndependencies:\n- {name: x, version: 1.x, repository: '@corp'}\n",
	})
	writeChart(t, filepath.Join(dir, "out"), "out", map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: out\nversion: 1.0.0\ndependencies:\n- {name: x, version: 1.x, repository: 'file://../../x'}\n",
	})
	if err := os.WriteFile(filepath.Join(dir, "list.yaml"), []byte("- a\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		ref  plan.Chart
		want string
	}{
		{"missing", plan.Chart{Ref: "nowhere"}, "chart nowhere: no such file or directory"},
		{"outside", plan.Chart{Ref: "../x"}, "chart ../x: ../x is outside of the workspace"},
		{"library", plan.Chart{Ref: "lib"}, "chart lib: it is a chart of type library, which installs nothing"},
		{"no version", plan.Chart{Ref: "bad"}, "chart bad: validation: chart.metadata.version is required"},
		{"values.yaml", plan.Chart{Ref: "values"}, "chart values: cannot load values.yaml"},
		{"values file", plan.Chart{Ref: "web", ValuesFiles: []string{"none.yaml"}}, "chart web: values file none.yaml: no such file or directory"},
		{"values list", plan.Chart{Ref: "web", ValuesFiles: []string{"list.yaml"}}, "chart web: values file list.yaml: "},
		{"named repository", plan.Chart{Ref: "alias"}, "chart alias: dependency x: repository @corp is a name that only Helm's own configuration knows"},
		{"dependency outside", plan.Chart{Ref: "out"}, "chart out: dependency x: file://../../x is outside of the workspace"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewShelf(dir, t.TempDir()).Chart(t.Context(), service(test.ref), nil)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("Chart(%q) = %v, want %s", test.ref.Ref, err, test.want)
			}
		})
	}
}

// repository serves charts as a chart repository does.
func repository(t *testing.T, charts map[string][]byte) (address string, requests *atomic.Int64) {
	t.Helper()
	var index bytes.Buffer
	index.WriteString("apiVersion: v1\nentries:\n")
	for name, data := range charts {
		sum := sha256.Sum256(data)
		fmt.Fprintf(&index, "  %s:\n  - {apiVersion: v2, name: %[1]s, version: 1.2.3, urls: [%[1]s.tgz], digest: %s}\n", name, hex.EncodeToString(sum[:]))
	}
	requests = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		switch name := strings.TrimSuffix(filepath.Base(r.URL.Path), ".tgz"); {
		case r.URL.Path == "/charts/index.yaml":
			w.Write(index.Bytes())
		case charts[name] != nil:
			w.Write(charts[name])
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/charts", requests
}

func TestLoadFromRepository(t *testing.T) {
	address, requests := repository(t, map[string][]byte{"web": pack(t, "web", nil)})
	cache := t.TempDir()
	var wg sync.WaitGroup
	shelf := NewShelf(t.TempDir(), cache)
	for range 7 { // services of one chart
		wg.Go(func() {
			if _, err := shelf.Chart(t.Context(), service(plan.Chart{Ref: "web", Repo: address, Version: "1.2.3"}), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests, want one of the index and one of the chart", n)
	}
	// One exact version does not change: the next process asks nobody.
	if _, err := NewShelf(t.TempDir(), cache).Chart(t.Context(), service(plan.Chart{Ref: "web", Repo: address, Version: "1.2.3"}), nil); err != nil {
		t.Error(err)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests in all, want none for a chart in the cache", n)
	}
	// The newest can be another one tomorrow.
	for range 2 {
		if _, err := NewShelf(t.TempDir(), cache).Chart(t.Context(), service(plan.Chart{Ref: "web", Repo: address}), nil); err != nil {
			t.Error(err)
		}
	}
	if n := requests.Load(); n != 6 {
		t.Errorf("%d requests in all, want four for the newest, twice", n)
	}
	_, err := shelf.Chart(t.Context(), service(plan.Chart{Ref: "web", Repo: address, Version: "9.x"}), nil)
	if want := fmt.Sprintf("chart web: chart repository %s has no chart web 9.x", address); err == nil || err.Error() != want {
		t.Errorf("Chart = %v, want %s", err, want)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	if _, err := shelf.Chart(ctx, service(plan.Chart{Ref: "other", Repo: address}), nil); !errors.Is(err, stopped) {
		t.Errorf("Chart with a cancelled context = %v", err)
	}
}

// A chart that is damaged in the cache is fetched again, whatever the damage, and a
// line says so.
func TestDamagedInTheCache(t *testing.T) {
	address, requests := repository(t, map[string][]byte{"web": pack(t, "web", nil)})
	cache := t.TempDir()
	ref := service(plan.Chart{Ref: "web", Repo: address, Version: "1.2.3"})
	var told []string
	load := func() {
		t.Helper()
		shelf := NewShelf(t.TempDir(), cache)
		shelf.Notice = func(text string) { told = append(told, text) }
		if _, err := shelf.Chart(t.Context(), ref, nil); err != nil {
			t.Fatal(err)
		}
	}
	load()
	files, err := filepath.Glob(filepath.Join(cache, "*.tgz"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the cache has %q, %v", files, err)
	}
	path := files[0]
	for name, damage := range map[string]func(data []byte) error{
		"empty":   func([]byte) error { return os.Truncate(path, 0) },
		"half":    func(data []byte) error { return os.Truncate(path, int64(len(data)/2)) },
		"garbage": func(data []byte) error { return os.WriteFile(path, bytes.Repeat([]byte("x"), len(data)), 0o600) },
		"another chart": func([]byte) error {
			return os.WriteFile(path, pack(t, "other", nil), 0o600)
		},
		"a directory":      func([]byte) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"an empty digest":  func([]byte) error { return os.Truncate(digestFile(path), 0) },
		"another's digest": func([]byte) error { return os.WriteFile(digestFile(path), []byte(strings.Repeat("0", 64)), 0o600) },
	} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before := requests.Load()
		told = nil
		if err := damage(data); err != nil {
			t.Fatal(err)
		}
		load()
		if len(told) != 1 || !strings.HasPrefix(told[0], "chart "+address+" web 1.2.3 is damaged in the cache (") || !strings.HasSuffix(told[0], "): it is fetched again") {
			t.Errorf("%s: told %q", name, told)
		}
		if n := requests.Load() - before; n != 2 {
			t.Errorf("%s: %d requests, want that it is fetched again", name, n)
		}
		told = nil
		load()
		if n := requests.Load() - before; n != 2 || len(told) != 0 {
			t.Errorf("%s: after it was fetched again: %d requests, told %q", name, n, told)
		}
	}
}

// That a chart cannot be kept keeps nobody from deploying it.
func TestCacheCannotBeWritten(t *testing.T) {
	address, _ := repository(t, map[string][]byte{"web": pack(t, "web", nil)})
	cache := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(cache, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	shelf := NewShelf(t.TempDir(), cache)
	var told []string
	shelf.Notice = func(text string) { told = append(told, text) }
	if _, err := shelf.Chart(t.Context(), service(plan.Chart{Ref: "web", Repo: address}), nil); err != nil {
		t.Error(err)
	}
	if len(told) != 1 || !strings.HasSuffix(told[0], "and is fetched again the next time: see that "+cache+" has room and can be written") {
		t.Errorf("told %q", told)
	}
}

func TestLoadFromRegistry(t *testing.T) {
	server := httptest.NewServer(ociregistry.New(ociregistry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	client, err := registry.NewClient(registry.ClientOptPlainHTTP())
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.2.3", "1.3.0"} {
		data := pack(t, "web", map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: " + version + "\n"})
		if _, err := client.Push(data, host+"/charts/web:"+version); err != nil {
			t.Fatal(err)
		}
	}
	for version, want := range map[string]string{"1.2.3": "1.2.3", "": "1.3.0", "~1.2.0": "1.2.3"} {
		c, err := NewShelf(t.TempDir(), t.TempDir()).Chart(t.Context(), service(plan.Chart{Ref: "oci://" + host + "/charts/web", Version: version}), nil)
		if err != nil {
			t.Errorf("version %q: %v", version, err)
		} else if copied, err := c.Copy(); err != nil || copied.Metadata.Version != want {
			t.Errorf("version %q is %s, %v, want %s", version, copied.Metadata.Version, err, want)
		}
	}
	_, err = NewShelf(t.TempDir(), t.TempDir()).Chart(t.Context(), service(plan.Chart{Ref: "oci://" + host + "/charts/none", Version: "1.0.0"}), nil)
	if err == nil || !strings.Contains(err.Error(), "/charts/none") {
		t.Errorf("Chart = %v, want an error that names the chart", err)
	}
}

// TestDependencies checks that vendored dependencies are used, that missing ones
// are fetched, also those of dependencies, and that the workspace stays as it is.
func TestDependencies(t *testing.T) {
	address, _ := repository(t, map[string][]byte{
		"cache": pack(t, "cache", map[string]string{
			"Chart.yaml": "apiVersion: v2\nname: cache\nversion: 1.2.3\n",
		}),
		"vendored": pack(t, "vendored", map[string]string{"values.yaml": "text: fetched\n"}),
	})
	dir := t.TempDir()
	writeChart(t, filepath.Join(dir, "lib"), "local", map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: local\nversion: 0.1.0\ndependencies:\n- {name: cache, version: ~1.2.0, repository: '" + address + "'}\n",
	})
	writeChart(t, filepath.Join(dir, "web"), "web", map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies:\n" +
			"- {name: local, version: 0.x, repository: 'file://../lib'}\n" +
			"- {name: vendored, version: 1.x, repository: '" + address + "'}\n" +
			"- {name: cache, version: 1.x, repository: '" + address + "', alias: one, condition: one.enabled}\n" +
			"- {name: cache, version: 1.x, repository: '" + address + "', alias: two, condition: two.enabled}\n",
		"values.yaml": "one: {enabled: true}\ntwo: {enabled: true}\n",
	})
	writeChart(t, filepath.Join(dir, "web", "charts", "vendored"), "vendored", map[string]string{"values.yaml": "text: vendored\n"})
	before := tree(t, dir)
	c, err := NewShelf(dir, t.TempDir()).Chart(t.Context(), service(plan.Chart{Ref: "web"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("the workspace was changed:\n%s", diff)
	}
	use := Use{Service: "api", Values: map[string]any{"two": map[string]any{"enabled": false}}}
	if err := c.Check(t.Context(), ours, "shop-dev", use); err != nil {
		t.Errorf("Check = %v", err)
	}
	for range 2 { // a use of it leaves it as it was
		objects := rendered(t, c, use)
		for _, want := range []string{"web/charts/local/charts/cache/", "web/charts/one/", "text\\\":\\\"vendored"} {
			if !strings.Contains(objects, want) {
				t.Errorf("%s is not in\n%s", want, objects)
			}
		}
		if strings.Contains(objects, "web/charts/two/") || strings.Contains(objects, "fetched") {
			t.Errorf("what is turned off or vendored was installed:\n%s", objects)
		}
	}
	if objects := rendered(t, c, Use{Service: "api"}); !strings.Contains(objects, "web/charts/two/") {
		t.Errorf("a chart does not survive being used with a part turned off:\n%s", objects)
	}
}

func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		out[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPrivateRepository: a user and a password come from Helm's list of
// repositories, go to the host of the repository only, and are in no message.
func TestPrivateRepository(t *testing.T) {
	charts := map[string][]byte{"web": pack(t, "web", nil)}
	address, _ := repository(t, charts)
	upstream, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var elsewhere atomic.Int64 // requests with credentials that are for another host
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); ok {
			elsewhere.Add(1)
		}
		w.Write(charts["web"])
	}))
	t.Cleanup(other.Close)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: upstream.Scheme, Host: upstream.Host})
	proxy.ModifyResponse = func(resp *http.Response) error {
		if resp.Request.Header.Get("Elsewhere") == "" || !strings.HasSuffix(resp.Request.URL.Path, "index.yaml") {
			return nil
		}
		data, err := io.ReadAll(resp.Body)
		data = bytes.ReplaceAll(data, []byte("[web.tgz]"), []byte("["+other.URL+"/web.tgz]"))
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
		resp.Header.Del("Content-Length")
		return err
	}
	var far atomic.Bool
	private := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, pass, _ := r.BasicAuth(); user != "me" || pass != "hunter2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if far.Load() {
			r.Header.Set("Elsewhere", "yes")
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(private.Close)
	at := private.URL + "/charts"
	list := filepath.Join(t.TempDir(), "repositories.yaml")
	t.Setenv("HELM_REPOSITORY_CONFIG", list)
	load := func() error {
		_, err := NewShelf(t.TempDir(), t.TempDir()).Chart(t.Context(), service(plan.Chart{Ref: "web", Repo: at}), nil)
		return err
	}
	added := func(text string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	want := fmt.Sprintf("chart web: chart repository %s: %[1]s/index.yaml: 401 Unauthorized: give Helm a user and a password for it: helm repo add NAME %[1]s --username USER --password-stdin", at)
	if err := load(); err == nil || err.Error() != want {
		t.Errorf("Chart without credentials = %v\nwant %s", err, want)
	}
	added("apiVersion: v1\nrepositories:\n- {name: other, url: https://charts.example.com, username: you, password: other}\n- {name: a, url: " + at + "/, username: me, password: hunter2}\n")
	if err := load(); err != nil {
		t.Error(err)
	}
	far.Store(true)
	if err := load(); err != nil || elsewhere.Load() != 0 {
		t.Errorf("Chart on another host = %v, %d requests with credentials", err, elsewhere.Load())
	}
	added("apiVersion: v1\nrepositories:\n- {name: a, url: " + at + ", username: me, password: hunter2, pass_credentials_all: true}\n")
	if err := load(); err != nil || elsewhere.Load() != 1 {
		t.Errorf("Chart on another host = %v, %d requests with credentials", err, elsewhere.Load())
	}
	added("repositories: hunter2")
	if err := load(); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "Helm's list of repositories "+list+" cannot be read") {
		t.Errorf("Chart with a damaged list = %v", err)
	}
}
