package lint_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/lint"
	"github.com/pipelinefile/pipe/plan"
)

// lines formats findings as "RULE LINE:COL".
func lines(findings []lint.Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, fmt.Sprintf("%s %d:%d", f.Rule, f.Pos.Line, f.Pos.Col))
	}
	return out
}

// planOf returns the plan of a Pipelinefile, for the environment staging.
func planOf(t *testing.T, src string) *plan.Plan {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"Pipelinefile": src, "x.star": "a = 1\nb = 2\n", "Dockerfile": "FROM scratch\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opts := interp.Options{Root: dir}
	opts.Environment.Name = "staging"
	p, err := interp.Eval(t.Context(), filepath.Join(dir, "Pipelinefile"), opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// all returns the findings for the source and the plan of a Pipelinefile.
func all(t *testing.T, src string) []lint.Finding {
	t.Helper()
	found, err := lint.Source(t.Context(), "Pipelinefile", lint.Pipelinefile, []byte(src), interp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	found = append(found, lint.Plan(planOf(t, src))...)
	return lint.Silence("Pipelinefile", []byte(src), found, true)
}

const stages = "pipeline(\"p\")\na = stage(\"a\")\nb = stage(\"b\")\n"

const later = stages + "y = container(\"y\", image = \"i:1\", stage = b, ports = [port(80)], env = {\"U\": \"x:80\"})\n"

// publicKey is a key for rules about signatures, k.
const publicKey = "k = \"\"\"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAENUJkWFMc/PnvXdSaoaUO3naxwMHI\nbB0bLcu+zBU/ddnQzgD1EPJLUz12prCHb5DKNjLy9/b9i/1Tb7AWf/lpUQ==\n-----END PUBLIC KEY-----\n\"\"\"\n"

// TestRules checks that each rule has findings where it should, and none where
// it should not. Package dockerfile tests the rule about Dockerfiles.
func TestRules(t *testing.T) {
	tests := []struct {
		rule, src string
		want      []string
	}{
		{"build-env", "pipeline(\"p\")\napplication(\"a\", build = dockerfile(args = {\"URL\": \"https://staging.example.com\"}))\n", []string{"build-env 2:26"}},
		{"build-env", "pipeline(\"p\")\napplication(\"a\", build = dockerfile(args = {\"URL\": \"https://notstaging.example.com\"}))\n", nil},
		{"env-order", "pipeline(\"p\")\ncontainer(\"x\", image = \"i:1\", env = {\n    \"A\": \"$(B)\",\n    \"B\": \"1\"})\n", []string{"env-order 3:10"}},
		{"env-order", "pipeline(\"p\")\ncontainer(\"x\", image = \"i:1\", env = {\"B\": \"1\", \"A\": \"$(B) $(C)\"})\n", nil},
		{"host-later", stages + "container(\"x\", image = \"i:1\", stage = a, env = {\"U\": \"http://y:80/\"})\ncontainer(\"y\", image = \"i:1\", stage = b, env = {\"U\": \"x:80\"})\n", []string{"host-later 4:1"}},
		{"host-later", stages + "container(\"x\", image = \"i:1\", stage = a, env = {\"U\": \"y\"})\ncontainer(\"y\", image = \"i:1\", stage = b, env = {\"U\": \"http://x\"})\n", nil},
		{"host-later", later + "container(\"x\", image = \"i:1\", stage = a, env = {\"U\": y.host})\n", []string{"host-later 5:1"}},
		{"host-later", later + "container(\"x\", image = \"i:1\", stage = a, args = [\"--to=%s/v1\" % y.url])\n", []string{"host-later 5:1"}},
		{"host-later", later + "container(\"x\", image = \"i:1\", stage = a, command = [\"sh\", \"-c\", \"wait \" + y.host + \"; run\"])\n", []string{"host-later 5:1"}},
		{"host-later", later + "def up(s):\n    return {\"affinity\": {\"up\": [{\"host\": s.host}]}}\ncontainer(\"x\", image = \"i:1\", stage = a, values = up(y))\n", []string{"host-later 7:1"}},
		{"host-later", later + "container(\"x\", image = \"i:1\", stage = a, health = command(\"nc\", y.host, \"80\"))\n", []string{"host-later 5:1"}},
		{"host-later", later + "container(\"x\", image = \"i:1\", stage = a, env = {\"U\": y.name, \"V\": \"say y twice\"}, args = [\"y.example.com\", \"try\"], values = {\"labels\": {\"y\": \"1\"}})\n", nil},
		{"host-later", later + "job(\"x\", image = \"i:1\", stage = a, schedule = \"0 3 * * *\", args = [y.url])\n", nil},
		{"host-later", later + "job(\"x\", image = \"i:1\", stage = a, args = [y.url])\n", []string{"host-later 5:1"}},
		{"latest-tag", "pipeline(\"p\")\ncontainer(\"x\", image = \"r:5000/i\")\ncontainer(\"y\", image = \"i:latest\")\n", []string{"latest-tag 2:1", "latest-tag 3:1"}},
		{"latest-tag", "pipeline(\"p\")\ncontainer(\"x\", image = \"r:5000/i:1\")\ncontainer(\"y\", image = \"i@sha256:" + strings.Repeat("0", 64) + "\")\n", nil},
		{"shared-disk", "pipeline(\"p\")\nd = disk(\"d\", size = \"1Gi\")\ncontainer(\"a\", image = \"i:1\", volumes = [d.at(\"/x\")])\ncontainer(\"b\", image = \"i:1\", volumes = [d.at(\"/x\")])\n", []string{"shared-disk 4:42"}},
		{"shared-disk", "pipeline(\"p\")\nd = disk(\"d\", size = \"1Gi\", access = \"ReadWriteMany\")\ncontainer(\"a\", image = \"i:1\", volumes = [d.at(\"/x\")])\ncontainer(\"b\", image = \"i:1\", volumes = [d.at(\"/x\")])\n", nil},
		{"own-credentials", "pipeline(\"p\")\ndatabase(\"d\", engine = \"redis\", version = \"7\")\ncontainer(\"x\", image = \"i:1\", env = {\"P\": secret(\"d-credentials\", key = \"password\")})\n", []string{"own-credentials 3:1"}},
		{"own-credentials", "pipeline(\"p\")\nd = database(\"d\", engine = \"redis\", version = \"7\")\ncontainer(\"x\", image = \"i:1\", env = {\"P\": d.password, \"Q\": secret(\"other-credentials\")})\n", nil},
		{"shadow", "pipeline(\"p\")\nport = 80\nprint(port)\n", []string{"shadow 2:1"}},
		{"shadow", "pipeline(\"p\")\ndef f(port):\n    return port\nprint(f(port = 1))\n", nil},
		{"share-stage", stages + "container(\"x\", image = \"i:1\", stage = a)\ncontainer(\"y\", image = \"i:1\", stage = b)\n", []string{"share-stage 3:5"}},
		{"share-stage", stages + "x = container(\"x\", image = \"i:1\", stage = a)\ncontainer(\"y\", image = \"i:1\", stage = b, env = {\"H\": x.host})\n", nil},
		{"share-stage", "pipeline(\"p\")\ncontainer(\"x\", image = \"i:1\")\napplication(\"y\", image = \"i:1\")\n", nil},
		{"silenced", "pipeline(\"p\")\ncontainer(\"x\", image = \"i\")  # lint: ignore latest-tag\n", []string{"latest-tag 2:1", "silenced 2:30"}},
		{"silenced", "pipeline(\"p\")\n# lint: ignore latest-tag: nothing\n# lint: ignore lastest-tag: misspelt\n", []string{"silenced 2:1", "silenced 3:1"}},
		{"silenced", "pipeline(\"p\")\ncontainer(\"x\", image = \"i\")  # lint: ignore latest-tag: a trial\n# lint: ignore latest-tag: another\ncontainer(\"y\", image = \"i\")\n", nil},
		{"skipped-used", "pipeline(\"p\")\nc = container(\"c\", image = \"i:1\", ports = [80], skip = True)\ncontainer(\"x\", image = \"i:1\", env = {\"C\": c.host})\ncontainer(\"y\", image = \"i:1\", env = {\"C\": c.host}, skip = True)\n", []string{"skipped-used 3:1"}},
		{"skipped-used", "pipeline(\"p\")\nd = database(\"d\", engine = \"redis\", version = \"7\")\nskip(d)\ncontainer(\"x\", image = \"i:1\", env = {\"C\": d.url})\n", []string{"skipped-used 4:1"}},
		{"skipped-used", "pipeline(\"p\")\nc = container(\"c\", image = \"i:1\", ports = [80])\ncontainer(\"x\", image = \"i:1\", env = {\"C\": c.host})\n", nil},
		{"unbuilt", "pipeline(\"p\")\napplication(\"x\", chart = chart(\"oci://h/c\", version = \"1.0.0\"))\n", []string{"unbuilt 2:26"}},
		{"unbuilt", "pipeline(\"p\")\napplication(\"x\", chart = chart(\"oci://h/c\", version = \"1.0.0\"), source = None)\n", nil},
		{"covers-nothing", publicKey + "pipeline(\"p\", verify = [signed(\"ghrc.io/*\", key = k)])\ncontainer(\"x\", image = \"ghcr.io/i:1\")\n", []string{"covers-nothing 6:25"}},
		{"covers-nothing", publicKey + "pipeline(\"p\", verify = [signed([\"i\", \"ghcr.io/*\"], key = k)])\ncontainer(\"x\", image = \"ghcr.io/i:1\", sidecars = [sidecar(\"s\", image = \"i:2\")])\n", nil},
		{"covers-nothing", publicKey + "pipeline(\"p\", verify = [signed(\"ghcr.io/*\", key = k)])\nhelm(\"x\", chart = chart(\"oci://h/c\", version = \"1\"))\n", nil},
		{"covers-nothing", publicKey + "pipeline(\"p\", registry = \"r.io/p\", verify = [signed(\"ghrc.io/*\", key = k)])\napplication(\"x\", build = buildpack(\"b:1\"))\n", nil}, // its builder names an image
		{"covers-nothing", publicKey + "pipeline(\"p\", registry = \"r.io/p\", verify = [signed(\"ghrc.io/*\", key = k)])\napplication(\"x\", build = buildpack(\"b:1\", run_image = \"r:1\"))\n", []string{"covers-nothing 6:46"}},
		{"covers-nothing", publicKey + "pipeline(\"p\", verify = [signed([\"ghrc.io/x%d\" % (100 * i + j) for j in range(100)], key = k) for i in range(100)])\n[container(\"x%d\" % i, image = \"ghcr.io/i:1\") for i in range(11)]\n", nil}, // too many
		{"unscanned", "pipeline(\"p\", scan = scan(\"t@sha256:\" + 64 * \"0\", [\"t\"], max = \"high\"))\ncontainer(\"y\", image = \"i:1\")\nhelm(\"x\", chart = chart(\"oci://h/c\", version = \"1\"), images = \"keep\")\n", []string{"unscanned 3:1"}},
		{"unscanned", "pipeline(\"p\")\nhelm(\"x\", chart = chart(\"oci://h/c\", version = \"1\"), images = \"keep\")\n", nil},
		{"unverified", publicKey + "pipeline(\"p\", verify = [signed(\"*\", key = k)])\ncontainer(\"y\", image = \"i:1\")\nhelm(\"x\", chart = chart(\"oci://h/c\", version = \"1\"), images = \"keep\")\n", []string{"unverified 8:1"}},
		{"unverified", "pipeline(\"p\")\nhelm(\"x\", chart = chart(\"oci://h/c\", version = \"1\"), images = \"keep\")\n", nil},
		{"unpinned-chart", "pipeline(\"p\")\ncontainer(\"x\", image = \"i:1\", chart = chart(\"oci://h/c\"))\n", []string{"unpinned-chart 2:39"}},
		{"unpinned-chart", "pipeline(\"p\")\ncontainer(\"x\", image = \"i:1\", chart = chart(\"oci://h/c\", version = \"1.0.0\"))\n", nil},
		{"unpinned-chart", "pipeline(\"p\")\nhelm(\"x\", chart = chart(git(\"https://h/c\")))\n", []string{"unpinned-chart 2:19"}},
		{"unpinned-chart", "pipeline(\"p\")\nhelm(\"x\", chart = chart(git(\"https://h/c\", ref = \"v1\")))\n", nil},
		{"unused-load", "load(\"x.star\", \"a\", \"b\")\npipeline(\"p\")\nprint(b)\n", []string{"unused-load 1:17"}},
		{"unused-load", "load(\"x.star\", \"b\", _ = \"a\")\npipeline(\"p\")\nprint(b)\n", nil},
		{"unused-name", "pipeline(\"p\")\nx = 1\ndef f(y):\n    z = 1\nf(2)\n", []string{"unused-name 2:1", "unused-name 4:5"}},
		{"unused-name", "pipeline(\"p\")\nx = 1\ndef f(y):\n    def g():\n        return x\n    return g\nprint([f(_i) for _i in [1]])\n", nil},
	}
	fires, quiet := map[string]bool{"dockerfile": true}, map[string]bool{"dockerfile": true}
	for i, tt := range tests {
		t.Run(fmt.Sprintf("%s/%d", tt.rule, i), func(t *testing.T) {
			if diff := cmp.Diff(tt.want, lines(all(t, tt.src))); diff != "" {
				t.Errorf("lint of (-want +got):\n%s\n%s", tt.src, diff)
			}
		})
		if tt.want == nil {
			quiet[tt.rule] = true
		} else {
			fires[tt.rule] = true
		}
	}
	for _, r := range lint.Rules() {
		if !fires[r.Name] || !quiet[r.Name] {
			t.Errorf("rule %s needs a case with a finding and a case without", r.Name)
		}
		if r.Summary == "" || r.Doc == "" {
			t.Errorf("rule %s has no summary or no documentation", r.Name)
		}
	}
}

// TestModule checks that top-level names of a module count as used.
func TestModule(t *testing.T) {
	found, err := lint.Source(t.Context(), "x.star", lint.Module, []byte("x = 1\ndef f():\n    y = 1\n"), interp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"unused-name 3:5"}, lines(found)); diff != "" {
		t.Error(diff)
	}
}

// TestShadowInTests checks that the builtins of tests count as builtins in test
// files only.
func TestShadowInTests(t *testing.T) {
	for name, want := range map[string][]string{"x_test.star": {"shadow 1:1"}, "x.star": {}} {
		found, err := lint.Source(t.Context(), name, lint.Module, []byte("plan = 1\n"), interp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, lines(found), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestFix(t *testing.T) {
	const src = "load(\"ä.star\", \"a\", b = \"c\", \"d\")\nload(\n    \"y.star\",\n    \"e\",\n    \"f\",  # why\n)\nprint(b, e)\n"
	found, err := lint.Source(t.Context(), "x.star", lint.Module, []byte(src), interp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, n := lint.Fix([]byte(src), found)
	want := strings.Replace(src, `load("ä.star", "a", b = "c", "d")`, `load("ä.star", b = "c")`, 1)
	if string(got) != want || n != 1 {
		t.Errorf("Fix = %d, %s\nwant 1, %s", n, got, want)
	}
}

// TestFixPlan checks that fixes remove what is safe to remove, that the plan
// stays the same except for positions and digests, and that a second run has
// nothing to fix.
func TestFixPlan(t *testing.T) {
	tests := []struct{ name, src, want string }{
		{"loads", "load(\"x.star\", \"a\", \"b\")\npipeline(\"p\")\nprint(a)\n", "load(\"x.star\", \"a\")\npipeline(\"p\")\nprint(a)\n"},
		{"names", "pipeline(\"ö\"[:0] + \"p\")\nx = [\"ä\",\n    (1, 2.5)]\ny = '''a\nb'''\nprint(1)\n", "pipeline(\"ö\"[:0] + \"p\")\nprint(1)\n"},
		{"the last line", "pipeline(\"p\")\nx = 1", "pipeline(\"p\")\n"},
		{
			"blocks", "pipeline(\"p\")\ndef f(a):\n    x = 1\n    return a\nif True:\n    y = 2\nf(1)\n",
			"pipeline(\"p\")\ndef f(a):\n    pass\n    return a\nif True:\n    pass\nf(1)\n",
		},
		{"what does something", "pipeline(\"p\")\nx = container(\"c\", image = \"i:1\")\ny = 1 + 1\nz, _w = 1, 2\n", ""},
		{"shared lines", "pipeline(\"p\"); x = 1\ny = 1; print(2)\nz = 1  # why\nif True: q = 1\n", ""},
		{
			"comments", "pipeline(\"p\")  # lint: ignore shadow: nothing\n    # lint: ignore latest-tag: nothing\ncontainer(\"c\", image = \"i:1\")\n",
			"pipeline(\"p\")\ncontainer(\"c\", image = \"i:1\")\n",
		},
		{"comments with a use", "pipeline(\"p\")\n# lint: ignore latest-tag: a trial\ncontainer(\"c\", image = \"i\")\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want == "" {
				tt.want = tt.src
			}
			got, _ := lint.Fix([]byte(tt.src), all(t, tt.src))
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Fatalf("-want +got\n%s", diff)
			}
			noPlaces := []cmp.Option{cmpopts.IgnoreTypes(plan.Pos{}), cmpopts.IgnoreFields(plan.Input{}, "Digest")}
			if diff := cmp.Diff(planOf(t, tt.src), planOf(t, string(got)), noPlaces...); diff != "" {
				t.Errorf("the plan: -before +after\n%s", diff)
			}
			if again, n := lint.Fix(got, all(t, string(got))); n > 0 {
				t.Errorf("fixed again: %s", again)
			}
		})
	}
}

// TestModuleComments checks that, without a plan, a comment that silences a rule
// about plans is not reported as unused.
func TestModuleComments(t *testing.T) {
	src := []byte("# lint: ignore latest-tag: a trial\n# lint: ignore shadow: nothing\n")
	if got := lines(lint.Silence("x.star", src, nil, false)); !cmp.Equal(got, []string{"silenced 2:1"}) {
		t.Errorf("Silence = %v", got)
	}
}

// TestSourceWrong checks that an invalid file is an error with a position.
func TestSourceWrong(t *testing.T) {
	if _, err := lint.Source(t.Context(), "x.star", lint.Module, []byte("x = nothing\n"), interp.Options{}); err == nil || !strings.Contains(err.Error(), "x.star:1:5") {
		t.Errorf("Source = %v, want an error at x.star:1:5", err)
	}
}

func TestSARIF(t *testing.T) {
	data, err := lint.SARIF(all(t, "pipeline(\"p\")\nx = 1\n"), "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID    string
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine, StartColumn int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != "2.1.0" || len(got.Runs) != 1 || len(got.Runs[0].Tool.Driver.Rules) != len(lint.Rules()) || len(got.Runs[0].Results) != 1 {
		t.Fatalf("SARIF = %s", data)
	}
	r := got.Runs[0].Results[0]
	at := r.Locations[0].PhysicalLocation
	if r.RuleID != "unused-name" || at.ArtifactLocation.URI != "Pipelinefile" || at.Region.StartLine != 2 || at.Region.StartColumn != 1 {
		t.Errorf("result = %+v", r)
	}
}

// reference returns the page of all rules, as Markdown.
func reference() string {
	var b strings.Builder
	b.WriteString(`# What pipe lint finds

This page lists the rules of ` + "`pipe lint`" + `. It is written by ` + "`make generate`" + `.

` + "`pipe lint`" + ` exits with status 1 if it finds something. A finding is silenced where it is, with a reason: by
` + "`# lint: ignore RULE: reason`" + ` at the end of its line, or on a line of its own before it.
`)
	for _, r := range lint.Rules() {
		fmt.Fprintf(&b, "\n## %s\n\n%s %s\n", r.Name, r.Summary, r.Doc)
		if r.Fixes {
			b.WriteString("\n`pipe lint --fix` fixes it if that cannot change the pipeline.\n")
		}
	}
	return b.String()
}

var update = flag.Bool("update", false, "rewrite docs/lint.md")

func TestGenerateReference(t *testing.T) {
	const file = "../../docs/lint.md"
	if *update {
		if err := os.WriteFile(file, []byte(reference()), 0o644); err != nil { //nolint:gosec // a page of the repository
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(reference(), string(got)); diff != "" {
		t.Errorf("docs/lint.md is out of date; run: make generate\n%s", diff)
	}
}

// TestCaller checks that a finding about a service that a function declares has
// the call as a related position, for findings of lint and of the evaluation.
func TestCaller(t *testing.T) {
	for _, call := range []string{
		`container(name, image = "i")`,
		`container(name, image = "i:1", env = {"A": "$(B)", "B": "1"})`,
		`application(name, source = None, chart = chart("c", repo = "https://charts.example.com"))`,
	} {
		found := all(t, "pipeline(\"p\")\ndef one(name):\n    "+call+"\n\none(\"x\")\n")
		if len(found) != 1 || found[0].Pos.Line != 3 {
			t.Errorf("%s: found %+v, want one on line 3", call, found)
			continue
		}
		if r := found[0].Related; len(r) == 0 || r[len(r)-1].Pos.Line != 5 {
			t.Errorf("%s: found %+v, want the call on line 5", call, found)
		}
	}
}

// TestMany checks that only the first of many findings are shown, with the number
// of the rest, that all of them are fixed, and that many findings on one very
// long line are not slower (L4).
func TestMany(t *testing.T) {
	const n = 10_000
	var lines, line strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "_f = 1\nx%d = 1  # lint: ignore unused-name: reason %d\ny%d = 1\n", i, i, i)
		fmt.Fprintf(&line, "y%d = 1; ", i)
	}
	for name, src := range map[string][]byte{"lines": []byte(lines.String()), "one line": []byte(line.String() + "pass\n")} {
		found, err := lint.Source(t.Context(), "Pipelinefile", lint.Pipelinefile, src, interp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		found = lint.Silence("Pipelinefile", src, found, true)
		if len(found) != n {
			t.Errorf("%s: %d findings, want %d", name, len(found), n)
		}
		first := lint.First(50, found)
		last := first[len(first)-1]
		if want := fmt.Sprintf("%d more findings, from here on", n-50); len(first) != 51 || last.Message != want || last.Diagnostic().Message != want || last.Pos != found[50].Pos {
			t.Errorf("%s: the last of %d shown findings is %+v", name, len(first), last)
		}
		fixed, corrected := lint.Fix(src, found)
		if name == "lines" && (corrected != n || bytes.Contains(fixed, []byte("y7 ="))) {
			t.Errorf("%s: %d of %d fixed", name, corrected, n)
		}
		data, err := lint.SARIF(found, "v1")
		if err != nil || bytes.Count(data, []byte(`"ruleId"`)) != 1000 || !bytes.Contains(data, []byte("9000 more findings, from here on")) {
			t.Errorf("%s: SARIF has %d bytes, %v", name, len(data), err)
		}
	}
	if few := make([]lint.Finding, 51); len(lint.First(50, few)) != 51 || lint.First(50, few)[50].Message != "" {
		t.Error("First omits a single finding")
	}
}
