package chart

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/pipelinefile/pipe/plan"
)

func TestImageValues(t *testing.T) {
	const digest = "sha256:abc"
	for _, test := range []struct {
		name, ref string
		own, want any
	}{
		{
			"joined with a colon", "127.0.0.1:5000/shop/api@" + digest,
			map[string]any{"repository": "nginx", "tag": "", "pullPolicy": "Always"},
			map[string]any{"reference": "127.0.0.1:5000/shop/api@" + digest, "repository": "127.0.0.1:5000/shop/api@sha256", "tag": "abc", "digest": digest},
		},
		{
			"knows digests", "127.0.0.1:5000/shop/api@" + digest,
			map[string]any{"repository": "", "digest": ""},
			map[string]any{"reference": "127.0.0.1:5000/shop/api@" + digest, "repository": "127.0.0.1:5000/shop/api", "tag": "", "digest": digest},
		},
		{
			"knows registries", "ghcr.io/shop/api@" + digest,
			map[string]any{"registry": "docker.io", "repository": "", "digest": ""},
			map[string]any{"reference": "ghcr.io/shop/api@" + digest, "registry": "ghcr.io", "repository": "shop/api", "tag": "", "digest": digest},
		},
		{
			"no values of its own", "shop/api@" + digest, nil,
			map[string]any{"reference": "shop/api@" + digest, "repository": "shop/api@sha256", "tag": "abc", "digest": digest},
		},
		{
			"tag and digest", "ghcr.io/shop/api:1@" + digest, nil,
			map[string]any{"reference": "ghcr.io/shop/api:1@" + digest, "repository": "ghcr.io/shop/api@sha256", "tag": "abc", "digest": digest},
		},
		{"one text", "shop/api@" + digest, "nginx:1", "shop/api@" + digest},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, imageValues(test.ref, test.own)); diff != "" {
				t.Errorf("imageValues(%q, %v) (-want +got):\n%s", test.ref, test.own, diff)
			}
		})
	}
}

// TestHelmCreate checks that a chart as helm create makes it is deployed by digest (I4).
func TestHelmCreate(t *testing.T) {
	dir := t.TempDir()
	if _, err := chartutil.Create("web", dir); err != nil {
		t.Fatal(err)
	}
	c, err := NewShelf(dir, t.TempDir()).Chart(t.Context(), plan.Service{Name: "api", Chart: &plan.Chart{Ref: "web"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if objects := rendered(t, c, Use{Service: "api", Image: testImage}); !strings.Contains(objects, `image: "`+testImage+`"`) {
		t.Errorf("the image is not %s in\n%s", testImage, objects)
	}
}

// TestValuesBySchema checks that a chart with a schema is told nothing that it does
// not know: it could be an error to it.
func TestValuesBySchema(t *testing.T) {
	own := map[string]any{"image": map[string]any{"repository": "x", "tag": "y"}}
	c, err := newChart(&chart.Chart{Metadata: &chart.Metadata{Name: "x"}, Values: own, Schema: []byte(`{"additionalProperties": false}`)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"image": map[string]any{"repository": "shop/api@sha256", "tag": "abc"}}
	if diff := cmp.Diff(want, c.Values(Use{Pipeline: "shop", Image: "shop/api@sha256:abc"})); diff != "" {
		t.Errorf("Values (-want +got):\n%s", diff)
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	writeChart(t, dir+"/broken", "broken", map[string]string{"templates/a.yaml": "{{ .Values.a.b.c }}"})
	writeChart(t, dir+"/syntax", "syntax", map[string]string{"templates/a.yaml": "{{ if }}"})
	writeChart(t, dir+"/asks", "asks", map[string]string{"templates/a.yaml": `{{ if not (.Capabilities.APIVersions.Has "x/v1") }}{{ fail "x is needed" }}{{ end }}`})
	for name, want := range map[string]string{
		"broken": "broken/templates/a.yaml:1:10",
		"syntax": "parse error at (syntax/templates/a.yaml:1)",
		"asks":   "",
	} {
		c, err := NewShelf(dir, t.TempDir()).Chart(t.Context(), plan.Service{Name: "api", Chart: &plan.Chart{Ref: name}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Check(t.Context(), ours, "shop-dev", Use{Service: "api"})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("Check of chart %s = %v, want %q", name, err, want)
		}
	}
}

func TestCredentials(t *testing.T) {
	for engine, want := range map[string]string{
		"postgresql": "postgresql://app:p%40ss@db:5432/app?sslmode=disable",
		"mysql":      "mysql://app:p%40ss@db:3306/app",
		"mariadb":    "mysql://app:p%40ss@db:3306/app",
		"redis":      "redis://default:p%40ss@db:6379/0",
		"mongodb":    "mongodb://app:p%40ss@db:27017/app?authSource=admin",
		"cockroach":  "cockroach://app:p%40ss@db/app",
	} {
		s := plan.Service{Name: "db", Workload: plan.Workload{Database: &plan.DatabaseSpec{Engine: engine}}}
		got := Credentials(s, User(s), "p@ss")
		if got["url"] != want {
			t.Errorf("url of %s = %s, want %s", engine, got["url"], want)
		}
		for _, key := range []string{"user", "password", "host", "port", "database", "url"} {
			if got[key] == "" {
				t.Errorf("%s has no %s", engine, key)
			}
		}
		s.Workload.Ports = []plan.Port{{Number: 1234}}
		if got := Credentials(s, User(s), "p@ss"); got["port"] != "1234" || !strings.Contains(got["url"], "@db:1234/") {
			t.Errorf("with a port of its own %s has %s", engine, got["url"])
		}
	}
}
