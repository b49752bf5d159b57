package deploy_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
	"github.com/pipelinefile/pipe/runtime/store"
)

// showsTypes is a template that shows values with their types.
const showsTypes = `
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data:
  types: {{ printf "%#v" .Values.given | quote }}
  text: {{ .Values.given | quote }}
  json: {{ .Values.given | toJson | quote }}
  yaml: {{ .Values.given | toYaml | quote }}
`

// TestStoredPlan: a stored plan renders the same bytes as the evaluated one, and has the
// same fingerprint, whatever the values are (SPEC D9).
func TestStoredPlan(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	dir := t.TempDir()
	writeChart(t, dir, "shown", map[string]string{"templates/shown.yaml": showsTypes})
	r := rand.New(rand.NewPCG(3, 4))
	name := runtimetest.Unique("stored")
	var src strings.Builder
	fmt.Fprintf(&src, "pipeline(%q)\nc = chart(\"shown\")\n", name)
	given := []string{
		`{"tag": 20190612073634, "limit": 1000000, "ratio": 1.5, "nested": [{"number": 9007199254740993}]}`,
		`{"whole": 1.0, "round": 1000000.0, "large": 1e21, "larger": 1e300, "small": 1e-9, "zero": -0.0}`,
		`{"most": 9223372036854775807, "least": -9223372036854775808, "none": None, "list": [], "dict": {}}`,
		`{"text": "1e6", "digits": "0123", "words": ["yes", "null", "~", "<&>", "\n"], "true": True}`,
		`[1, 1.0, 1000000, 1000000.0]`, `5`, `5.0`,
	}
	for range 40 {
		given = append(given, literal(r, 0))
	}
	for i, g := range given {
		fmt.Fprintf(&src, "application(\"a%d\", chart = c, values = {\"given\": %s})\n", i, g)
	}
	src.WriteString("container(\"generated\", image = \"redis:7\", ports = [80], env = {\"A\": 1000000, \"B\": 1.0}, values = {\"replicas\": 2})\n")
	file := filepath.Join(dir, "Pipelinefile")
	must(t, os.WriteFile(file, []byte(src.String()), 0o666))
	evaluated, err := interp.Eval(t.Context(), file, interp.Options{Environment: plan.EnvironmentRef{Name: "dev", Kind: "environment"}})
	must(t, err)

	s := store.Open(client(t, config), store.Options{})
	key := runtime.EnvironmentKey{Pipeline: name, Name: "dev"}
	t.Cleanup(func() { deleteNamespace(client(t, config), key.Namespace()) })
	must(t, s.Save(t.Context(), &runtime.Environment{Key: key, Plan: evaluated}))
	must(t, s.AddRun(t.Context(), key, runtime.RunRecord{ID: "1", Plan: evaluated}))
	env, err := s.Environment(t.Context(), key)
	must(t, err)
	run, err := s.Run(t.Context(), key, "1")
	must(t, err)

	d := newDeployer(t, deploy.Options{Config: config, Dir: dir})
	rendered := func(p *plan.Plan, service plan.Service) (string, plan.Digest) {
		t.Helper()
		release := runtime.Release{Pipeline: name, Environment: "dev", Namespace: key.Namespace(), Service: service, Image: testImage}
		if service.Chart != nil {
			release.Image = ""
		}
		digest, err := d.Fingerprint(t.Context(), release)
		must(t, err)
		objects, err := d.Changes(t.Context(), release, false)
		must(t, err)
		var text strings.Builder
		for _, o := range objects {
			text.WriteString(o.After)
		}
		return text.String(), digest
	}
	for from, stored := range map[string]*plan.Plan{"the environment": env.Plan, "the run": run.Plan} {
		want, _ := evaluated.Digest()
		if got, err := stored.Digest(); err != nil || got != want {
			t.Errorf("the plan of %s has digest %s, %v, want %s", from, got, err, want)
		}
		for i, service := range evaluated.Services {
			if !reflect.DeepEqual(stored.Services[i].Values, service.Values) {
				t.Errorf("values of %s in the plan of %s: -want +got\n%s", service.Name, from, cmp.Diff(service.Values, stored.Services[i].Values))
			}
			if from == "the run" {
				continue // rendered below already
			}
			want, digest := rendered(evaluated, service)
			got, stored := rendered(env.Plan, stored.Services[i])
			if want == "" || got != want {
				t.Errorf("%s, from a stored plan: -want +got\n%s", service.Name, cmp.Diff(want, got))
			}
			if stored != digest {
				t.Errorf("fingerprint of %s from a stored plan = %s, want %s", service.Name, stored, digest)
			}
		}
	}
}

// literal returns a random value as written in a Pipelinefile.
func literal(r *rand.Rand, depth int) string {
	kinds := 8
	if depth > 3 {
		kinds = 6
	}
	switch r.IntN(kinds) {
	case 0:
		return "None"
	case 1:
		return []string{"True", "False"}[r.IntN(2)]
	case 2:
		return strconv.Quote(string([]rune{rune(r.IntN(0xd000)), '1', 'e', rune(32 + r.IntN(90))}))
	case 3:
		return strconv.FormatInt(int64(r.Uint64())>>r.IntN(64), 10)
	case 4: // a whole number
		return strconv.FormatFloat(float64(int64(r.Uint64())>>r.IntN(64)), 'f', 1, 64)
	case 5:
		for {
			if f := math.Float64frombits(r.Uint64()); f-f == 0 {
				return strconv.FormatFloat(f, 'e', -1, 64)
			}
		}
	case 6:
		list := make([]string, r.IntN(4))
		for i := range list {
			list[i] = literal(r, depth+1)
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	dict := make([]string, r.IntN(4))
	for i := range dict {
		dict[i] = fmt.Sprintf("\"%c%d\": %s", 'a'+r.IntN(26), i, literal(r, depth+1))
	}
	return "{" + strings.Join(dict, ", ") + "}"
}
