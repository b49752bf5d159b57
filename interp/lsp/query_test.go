package lsp_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/interp/lsp"
	"github.com/pipelinefile/pipe/stdlib"
)

type item struct {
	Label         string
	Kind          int
	Detail        string
	Documentation *struct{ Value string }
	TextEdit      textEdit
}

// complete returns the completions at the cursor, the "|" in text.
func (c *client) complete(name, text string) []item {
	c.t.Helper()
	at := c.show(name, text)
	return decode[struct{ Items []item }](c.t, c.call("textDocument/completion", at)).Items
}

func labels(items []item) []string {
	out := []string{}
	for _, i := range items {
		out = append(out, i.Label)
	}
	slices.Sort(out)
	return out
}

// TestCompletion checks that the completions include all of want and none of
// not. If want starts with "only", they include nothing else.
func TestCompletion(t *testing.T) {
	c := start(t, shop+`
-- data/a.json --
{}
-- lib/more.star --
`, lsp.Options{})
	const head = "load('lib/web.star', 'site')\npipeline('shop')\nstage('one', order = 1)\ndb = database('db', engine = 'postgresql', version = '15')\n"
	for name, test := range map[string]struct{ text, want, not string }{
		"names":               {head + "con|", "container db site environment len True def", "x name"},
		"names in a function": {head + "def f(a, b = 1):\n    inner = 1\n    |\n", "a b inner db", ""},
		"names outside":       {head + "def f(a1):\n    inner = 1\n|", "f", "a1 inner"},
		"arguments":           {head + "container('🙂', image = 'a:1', |", "replicas_= env_= db", "image_= name_="},
		"arguments behind":    {head + "container(\n    'a',\n    rep|\n    replicas = 1,\n)\n", "image_=", "replicas_="},
		"arguments of a def":  {head + "site('a', |)", "replicas_=", "name_="},
		"a value":             {head + "container('a', replicas = |)", "db", "image_="},
		"service":             {head + "x = db.|", "only database host image name password port type url url_for user", ""},
		"service of a def":    {head + "s = site('a')\nx = s.ho|\n", "host", ""},
		"chain":               {head + "x = db.host.|", "upper split", "host"},
		"text":                {head + "x = 'a'.|", "upper", ""},
		"call":                {head + "x = database('x', engine = 'redis', version = '7').|", "host", ""},
		"environment":         {head + "environment.|", "only branch kind name source", ""},
		"library":             {head + "json.|", "only decode encode encode_indent indent", ""},
		"struct":              {head + "s = struct(a = 1, b = db)\ns.b.|", "host", "a"},
		"struct fields":       {head + "s = struct(a = 1, b = db)\ns.|", "only a b", ""},
		"default stages":      {head + "default_stages().|", "only application container database job", ""},
		"protocol":            {head + "port(80, protocol = '|')", "only SCTP TCP UDP", ""},
		"type":                {head + "default_stage('|", "only APPLICATION CONTAINER DATABASE HELM JOB MANIFESTS", ""},
		"stage":               {head + "container('a', image = 'a:1', stage = '|')", "one", "db"},
		"rule":                {head + "default_stage(JOB, '|')", "one", "JOB"},
		"skip":                {head + "skip('|')", "db", "one"},
		"skip in a list":      {head + "skip(*['|'])", "", ""},
		"load":                {head + "load('|')", "@std//databases.star @std//web.star data/ lib/ old/", "@std//web_test.star"},
		"load below":          {head + "load('lib/|')", "lib/web.star lib/more.star", "data/"},
		"load names":          {head + "load('lib/web.star', '|')", "only helper site", ""},
		"load std names":      {head + "load('@std//web.star', '|')", "site web", ""},
		"load alias":          {head + "load('lib/web.star', x = '|')", "only helper site", ""},
		"file":                {head + "read_json('data/|')", "data/a.json", ""},
		"file of any reader":  {head + "read_yaml_all('data/|')", "data/a.json", ""},
		"folder":              {head + "local('|')", "data/ lib/", "Pipelinefile"},
		"outside":             {head + "read_file('../|')", "only", ""},
		"free text":           {head + "container('|')", "only", ""},
		"comment":             {head + "# con|", "only", ""},
		"broken before":       {head + "container('x', image =\n\ny = db\n|", "y db", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "load" || strings.HasPrefix(name, "load ") {
				test.text = strings.TrimPrefix(test.text, "load('lib/web.star', 'site')\n")
			}
			got := labels(c.complete("Pipelinefile", test.text))
			words := strings.Fields(test.want)
			for i := range words {
				words[i] = strings.ReplaceAll(words[i], "_=", " =")
				if strings.ReplaceAll(test.want, "encode_indent", "") != test.want {
					words[i] = strings.ReplaceAll(words[i], "encode indent", "encode_indent")
				}
			}
			if len(words) > 0 && words[0] == "only" {
				diff(t, "offered", words[1:], got)
				return
			}
			for _, w := range words {
				if !slices.Contains(got, w) {
					t.Errorf("%q is not offered: %v", w, got)
				}
			}
			for w := range strings.FieldsSeq(test.not) {
				if slices.Contains(got, strings.ReplaceAll(w, "_=", " =")) {
					t.Errorf("%q is offered", w)
				}
			}
		})
	}
}

// TestCompletionEdits checks that a completion replaces the word or the string
// that contains the cursor.
func TestCompletionEdits(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	for name, test := range map[string]struct{ text, label, want string }{
		"argument": {"container('🙂', repl|)", "replicas =", "container('🙂', replicas = )"},
		"in text":  {"default_stage('JO|X', 'x')", "JOB", "default_stage('JOB', 'x')"},
		"open":     {"load('li|", "lib/", "load('lib/"},
		"word":     {"x = conta|ine", "container", "x = container"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, i := range c.complete("Pipelinefile", test.text) {
				if i.Label == test.label {
					if got := apply(t, strings.Replace(test.text, "|", "", 1), []textEdit{i.TextEdit}); got != test.want {
						t.Errorf("applied: %q, want %q", got, test.want)
					}
					return
				}
			}
			t.Errorf("%q is not offered", test.label)
		})
	}
	for _, i := range c.complete("Pipelinefile", "container('a', |)") {
		if i.Label == "replicas =" && (i.Detail != "int = 1" || i.Documentation == nil || i.Documentation.Value != "how many pods") {
			t.Errorf("replicas: %+v", i)
		}
	}
}

const hovered = `load("lib/web.star", "site")
pipeline("shop")
first = stage("first", order = 1, description = "What others need.")
db = database("db", engine = "postgresql", version = "15", stage = "first")
title = param("title", default = "Shop")
page = site("page", replicas = 2)
x = db.url
skip("page")
environment.name
`

// TestHover checks that hover shows the help of builtins, and how a declared
// service, stage or parameter is in the plan.
func TestHover(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	c.open("Pipelinefile", hovered)
	c.diagnostics("Pipelinefile")
	for name, test := range map[string]struct{ cursor, want string }{
		"builtin":        {"pipe|line(", "Names the pipeline"},
		"argument":       {"ord|er = 1", "stages run in ascending order"},
		"argument type":  {"ver|sion = ", "version: str"},
		"service":        {"d|b = ", "**db** is DATABASE in the stage **first**, by its stage ="},
		"stage":          {"fir|st = ", "The stage **first**, 1 of 1, order 1: db, page."},
		"stage in text":  {`stage = "fi|rst"`, "What others need."},
		"param":          {"tit|le = ", "The parameter `title` is `Shop` (the default)."},
		"def":            {"si|te(\"page\"", "def"},
		"def docstring":  {"= si|te(", "Declares a page."},
		"def argument":   {"repli|cas = 2", "how many."},
		"def's service":  {"pa|ge = ", "**page** is CONTAINER"},
		"attribute":      {"db.u|rl", "url: str | secret"},
		"service's name": {`skip("pa|ge"`, "skipped"},
		"module":         {`load("lib/we|b.star"`, "Pages."},
		"environment":    {"env|ironment.", "environment: environment"},
		"env attribute":  {"environment.na|me", "the name"},
	} {
		t.Run(name, func(t *testing.T) {
			before, after, _ := strings.Cut(test.cursor, "|")
			text := strings.Replace(hovered, before+after, test.cursor, 1)
			got := decode[struct{ Contents struct{ Value string } }](t, c.call("textDocument/hover", c.at("Pipelinefile", text))).Contents.Value
			want := test.want
			if want == "def" {
				want = "site(name, *, replicas=1, **more)"
			}
			if !strings.Contains(got, want) {
				t.Errorf("hover: %q does not contain %q", got, want)
			}
		})
	}
	if got := c.call("textDocument/hover", c.at("Pipelinefile", strings.Replace(hovered, "x = ", "x |= ", 1))); string(got) != "null" {
		t.Errorf("hover over nothing: %s", got)
	}
}

// TestSignatureHelp checks that the parameter at the cursor is the active one.
func TestSignatureHelp(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	for name, test := range map[string]struct{ text, label, active string }{
		"first":        {"port(|", "port(number, *, name=None, protocol=\"TCP\", public=False, host=None, local=None, service=None", "number"},
		"named":        {"port(80, public = |)", "port(", "public=False"},
		"inner":        {"container('🙂', ports = [port(80, host = '|", "port(", "host=None"},
		"outer":        {"container('a', ports = [port(80)], repl|", "container(", ""},
		"rest":         {"skip('a', 'b', |", "skip(*services)", "*services"},
		"a def":        {"def f(a, *, b = '🙂', **more):\n    pass\nf(1, b = |)", "f(a, *, b='🙂', **more)", "b='🙂'"},
		"library":      {"json.encode(|", "json.encode(x) -> str", "x"},
		"out of calls": {"port(80)|", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := decode[struct {
				Signatures []struct {
					Label      string
					Parameters []struct{ Label [2]int }
				}
				ActiveParameter *int
			}](t, c.call("textDocument/signatureHelp", c.show("Pipelinefile", test.text)))
			if len(got.Signatures) == 0 {
				if test.label != "" {
					t.Fatal("no signature")
				}
				return
			}
			sig := got.Signatures[0]
			if !strings.HasPrefix(sig.Label, test.label) || test.label == "" {
				t.Errorf("label %q, want %q", sig.Label, test.label)
			}
			active := ""
			if got.ActiveParameter != nil {
				at := sig.Parameters[*got.ActiveParameter].Label
				active = utf16Cut(sig.Label, at)
			}
			if active != test.active {
				t.Errorf("active %q, want %q", active, test.active)
			}
		})
	}
}

// utf16Cut returns the part of s between two offsets in UTF-16 units.
func utf16Cut(s string, at [2]int) string {
	var out []rune
	n := 0
	for _, r := range s {
		if n >= at[0] && n < at[1] {
			out = append(out, r)
		}
		n++
		if r > 0xffff {
			n++
		}
	}
	return string(out)
}

type found struct {
	URI   string
	Range span
}

// places returns locations as FILE:LINE:COLUMN, sorted.
func (c *client) places(list []found) []string {
	out := []string{}
	for _, l := range list {
		p := l.Range.Start
		out = append(out, strings.TrimPrefix(l.URI, c.uri("")+"/")+":"+pos(p))
	}
	slices.Sort(out)
	return out
}

func pos(p position) string {
	return strings.Join([]string{itoa(p.Line + 1), itoa(p.Character)}, ":")
}

func TestDefinition(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	const text = `load("lib/web.star", "site", other = "helper")
load("@std//web.star", web = "site")
pipeline("shop")
one = stage("🙂one", order = 1)
db = database("db", engine = "redis", version = "7", stage = "🙂one")
site("page", replicas = 2)
other("more")
web("w", image = "a:1")
y = db.host
skip("db")
def f(a):
    return [a for a in range(3)] + [a, db]
`
	c.open("Pipelinefile", text)
	c.diagnostics("Pipelinefile")
	for name, test := range map[string]struct{ cursor, want string }{
		"variable":      {"y = d|b", "Pipelinefile:5:0"},
		"function":      {"si|te(", "lib/web.star:3:4"},
		"loaded name":   {`"si|te"`, "lib/web.star:3:4"},
		"renamed":       {"oth|er(", "lib/web.star:13:4"},
		"in the load":   {`"hel|per"`, "lib/web.star:13:4"},
		"module":        {`"lib/w|eb.star"`, "lib/web.star:1:0"},
		"argument":      {"repl|icas", "lib/web.star:3:18"},
		"standard":      {`we|b("w"`, ".std/web.star:" + lineWith(t, "def site(") + ":4"},
		"standard file": {`"@std//w|eb.star"`, ".std/web.star:1:0"},
		"stage":         {`stage = "🙂o|ne"`, "Pipelinefile:4:6"},
		"service":       {`skip("d|b"`, "Pipelinefile:5:5"},
		"parameter":     {"[a|, db]", "Pipelinefile:11:6"},
		"comprehension": {"[a| for", "Pipelinefile:12:18"},
		"builtin":       {"pipe|line(", ""},
		"attribute":     {"db.ho|st", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before, after, _ := strings.Cut(test.cursor, "|")
			got := c.places(decode[[]found](t, c.call("textDocument/definition",
				c.at("Pipelinefile", strings.Replace(text, before+after, test.cursor, 1)))))
			if strings.Join(got, " ") != test.want {
				t.Errorf("definition: %v, want %q", got, test.want)
			}
		})
	}
	// A library file on disk is recognized as part of its library.
	if _, err := os.Stat(filepath.Join(c.dir, ".std", "web.star")); err != nil {
		t.Fatal(err)
	}
	text2, err := os.ReadFile(filepath.Join(c.dir, ".std", "web.star"))
	if err != nil {
		t.Fatal(err)
	}
	c.open(".std/web.star")
	at := c.at(".std/web.star", strings.Replace(string(text2), "def web(", "def we|b(", 1))
	got := decode[struct{ Contents struct{ Value string } }](t, c.call("textDocument/hover", at)).Contents.Value
	if !strings.Contains(got, "serves HTTP") {
		t.Errorf("hover in @std: %q", got)
	}
}

// lineWith returns the number of the line of @std//web.star that starts with start.
func lineWith(t *testing.T, start string) string {
	t.Helper()
	data, err := stdlib.FS.ReadFile("web.star")
	if err != nil {
		t.Fatal(err)
	}
	before, _, ok := strings.Cut(string(data), "\n"+start)
	if !ok {
		t.Fatalf("no line %q in @std//web.star", start)
	}
	return itoa(strings.Count(before, "\n") + 2)
}

func TestReferences(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	c.open("Pipelinefile")
	c.open("lib/web.star")
	c.diagnostics("Pipelinefile")
	lib, err := os.ReadFile(filepath.Join(c.dir, "lib", "web.star"))
	if err != nil {
		t.Fatal(err)
	}
	refs := func(at map[string]any, declaration bool) []string {
		at["context"] = map[string]any{"includeDeclaration": declaration}
		return c.places(decode[[]found](t, c.call("textDocument/references", at)))
	}
	at := c.at("lib/web.star", strings.Replace(string(lib), "def site", "def si|te", 1))
	diff(t, "site", []string{"Pipelinefile:1:22", "Pipelinefile:4:0", "lib/web.star:14:11", "lib/web.star:3:4"}, refs(at, true))
	diff(t, "site, without", []string{"Pipelinefile:1:22", "Pipelinefile:4:0", "lib/web.star:14:11"}, refs(at, false))
	at = c.at("lib/web.star", strings.Replace(string(lib), "*, replicas", "*, repl|icas", 1))
	diff(t, "replicas", []string{"Pipelinefile:4:13", "lib/web.star:11:55", "lib/web.star:3:18"}, refs(at, true))
	at = c.at("lib/web.star", strings.Replace(string(lib), "def helper", "def hel|per", 1))
	diff(t, "helper", []string{"Pipelinefile:1:29", "Pipelinefile:1:38", "Pipelinefile:5:0", "lib/web.star:13:4"}, refs(at, true))
	at = c.show("Pipelinefile", "pipe|line('shop')\n")
	diff(t, "a builtin", []string{"Pipelinefile:1:0", "old/Pipelinefile:1:0"}, refs(at, true))
	at = c.show("Pipelinefile", "pipeline('shop')\nstage('one')\ncontainer('one', image = 'a:1', stage = 'o|ne')\njob('j', image = 'a:1', stage = 'one')\n")
	diff(t, "a stage", []string{"Pipelinefile:2:6", "Pipelinefile:3:40", "Pipelinefile:4:32"}, refs(at, true))
}

func TestSymbols(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	c.open("Pipelinefile", "load('lib/web.star', 'site')\npipeline('shop')\none = stage('one')\ndb = database('db', engine = 'redis', version = '7')\nsite('page')\ndef f(a, b = 1):\n    pass\nn = 1\n(\n")
	got := decode[[]struct {
		Name, Detail string
		Range        span
	}](t, c.call("textDocument/documentSymbol", map[string]any{"textDocument": map[string]any{"uri": c.uri("Pipelinefile")}}))
	var out []string
	for _, s := range got {
		out = append(out, s.Name+" ("+s.Detail+") "+itoa(s.Range.Start.Line+1))
	}
	diff(t, "symbols", []string{"one (stage one) 3", "db (service db) 4", "page (service) 5", "f (f(a, b=1)) 6", "n (int) 8"}, out)
}

// TestFormatting checks that formatting edits only the lines that differ, and
// leaves a file that does not parse unchanged.
func TestFormatting(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	for text, want := range map[string]string{
		"a = 1\nx=[ \"🙂\",2 ]\nb = 2\n":       "a = 1\nx = [\"🙂\", 2]\nb = 2\n",
		"a = 1\n":                             "a = 1\n",
		"x=1":                                 "x = 1\n",
		"x=1\n\n\n\n\n":                       "x = 1\n",
		"x=(\n":                               "x=(\n",
		"pipeline( 'a' )\r\nstage( 'b' )\r\n": "pipeline(\"a\")\nstage(\"b\")\n",
	} {
		at := c.show("Pipelinefile", text+"|")
		at["options"] = map[string]any{"tabSize": 8, "insertSpaces": false}
		edits := decode[[]textEdit](t, c.call("textDocument/formatting", at))
		if got := apply(t, strings.ReplaceAll(text, "\r\n", "\n"), edits); got != want {
			t.Errorf("formatting of %q: %q, want %q", text, got, want)
		}
		if strings.Contains(text, "🙂") && (len(edits) != 1 || edits[0].Range != span{position{1, 0}, position{1, 12}}) {
			t.Errorf("edits: %+v", edits)
		}
	}
}
