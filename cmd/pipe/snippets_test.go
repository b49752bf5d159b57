package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.starlark.net/syntax"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/chart"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/render"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// moduleRoot is the relative path of the module's directory.
const moduleRoot = "../.."

// docPages are the pages whose snippets are run, below the module. The references of the
// language and of its library contain signatures, which are not programs. They are generated
// from the code, and have their own tests.
func docPages(t *testing.T) []string {
	t.Helper()
	var pages []string
	err := filepath.WalkDir(moduleRoot, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(file[len(moduleRoot):])
		switch {
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".git") || d.Name() == "testdata" || d.Name() == "node_modules" || name == "/bin"):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".md") && d.Name() != "reference.md" && name != "/CHANGELOG.md":
			pages = append(pages, name[1:])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// TestSnippets runs every snippet of every page, by its language:
//
//	python      evaluated for three environments: as it is if it calls pipeline(), otherwise after
//	            the page's preamble; on a page next to a Pipelinefile, that contains it; charts
//	            accept its values
//	sh          its commands "pipe …" are parsed by the real commands; targets of make and paths
//	            in ./ exist
//	console     its commands, after "$ ", are run in the page's directory, on a world in memory;
//	            their output is compared
//	go FILE     FILE, which is compiled and tested, contains it word for word
//	yaml, json  parsed
//	text        shown
//
// A snippet that shows a file has a mark, "python file=lib/web.star", and one that is appended to a
// file has "python add=Pipelinefile"; later snippets of the page can use the file. Every page has the
// programs of the shop.
func TestSnippets(t *testing.T) {
	for _, file := range docPages(t) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			p := readPage(t, moduleRoot, file)
			if len(p.snippets) == 0 {
				return
			}
			synctest.Test(t, func(t *testing.T) { newReader(t, p).read(t) })
		})
	}
}

// A reader runs the snippets of a page.
type reader struct {
	page  *docPage
	dir   string
	home  string
	world *runtimetest.World
}

func newReader(t *testing.T, p *docPage) *reader {
	t.Helper()
	r := &reader{page: p, dir: t.TempDir(), home: t.TempDir(), world: runtimetest.NewWorld()}
	r.world.Takes = func(op, _ string) time.Duration {
		if op == "Builder.Build" {
			return 9 * time.Second
		}
		return 3 * time.Second
	}
	for _, program := range []string{"migrate", "api", "web"} { // like those of the shop
		if err := os.CopyFS(filepath.Join(r.dir, program), os.DirFS(filepath.Join(moduleRoot, "examples/shop", program))); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range p.fixtures {
		write(t, r.dir, name, text)
	}
	return r
}

func (r *reader) read(t *testing.T) {
	t.Helper()
	for _, s := range r.page.snippets {
		problem := func(format string, args ...any) {
			t.Helper()
			t.Errorf("%s:%d: "+format, append([]any{r.page.file, s.line}, args...)...)
		}
		file := s.mark("file")
		if add := s.mark("add"); add != "" {
			before, err := os.ReadFile(filepath.Join(r.dir, add))
			if err != nil {
				problem("%v", err)
			}
			file, s.text = add, string(before)+s.text
		}
		if file != "" {
			write(t, r.dir, file, s.text)
		}
		switch s.lang {
		case "python":
			if shown := path.Join(path.Dir(r.page.file), fileName); shown != fileName && exists(shown) {
				if err := inFile(s.text, shown); err != nil {
					problem("%v", err)
				}
				continue
			}
			r.python(&s, file, problem)
		case "sh":
			for _, words := range shellCommands(s.text) {
				if err := checkCommand(words); err != nil {
					problem("%s: %v", strings.Join(words, " "), err)
				}
			}
		case "console":
			r.console(t, s.text, problem)
		case "go":
			if len(s.marks) != 1 {
				problem("name the file that it stands in: go FILE")
			} else if err := inFile(s.text, s.marks[0]); err != nil {
				problem("%v", err)
			}
		case "yaml":
			for doc := range strings.SplitSeq("\n"+s.text, "\n---\n") {
				if _, err := yaml.YAMLToJSONStrict([]byte(doc)); err != nil {
					problem("%v", err)
				}
			}
		case "json":
			var v any
			if err := json.Unmarshal([]byte(s.text), &v); err != nil {
				problem("%v", err)
			}
		case "", "text", "dockerfile", "toml":
		default:
			problem("nothing runs snippets of the language %q", s.lang)
		}
	}
}

var callsPipeline = regexp.MustCompile(`(?m)^pipeline\(`)

// python evaluates a snippet. A snippet that shows a module or a test is only parsed here,
// and run where another snippet uses it.
func (r *reader) python(s *docSnippet, file string, problem func(string, ...any)) {
	if path.Ext(file) == ".star" {
		if _, err := (&syntax.FileOptions{Set: true, TopLevelControl: true, GlobalReassign: true}).Parse(file, s.text, 0); err != nil {
			problem("%v", err)
		}
		return
	}
	text := s.text
	if !callsPipeline.MatchString(text) {
		text = r.page.preamble + text
	}
	name := filepath.Join(r.dir, "Pipelinefile.snippet")
	if file != "" {
		name = filepath.Join(r.dir, file)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		problem("%v", err)
		return
	}
	wrong := len(s.marks) > 0 && s.marks[0] == "wrong"
	for _, env := range []plan.EnvironmentRef{
		{Name: "default", Kind: "environment"}, {Name: "production", Kind: "environment"},
		{Name: "pr-7", Kind: "preview", Source: "staging", Branch: "login"},
	} {
		p, err := interp.Eval(context.Background(), name, interp.Options{Root: r.dir, Environment: env})
		switch {
		case wrong && err == nil:
			problem("it is said to be wrong, and evaluates for %s", env.Name)
		case !wrong && err != nil:
			problem("for %s: %v", env.Name, err)
			return
		}
		if p == nil {
			continue
		}
		if err := r.render(p); err != nil {
			problem("%v", err)
		}
		for _, service := range p.Services {
			if service.Image.Mirror != "" { // the image can be mirrored
				r.world.Registry.Upstream(service.Image.Mirror, "sha256:"+plan.Digest(service.Name))
			}
		}
	}
}

// render reports a local chart that does not accept the values of the plan.
func (r *reader) render(p *plan.Plan) error {
	shelf := chart.NewShelf(r.dir, r.home)
	for _, s := range p.Services {
		if s.Chart != nil && !s.Chart.InWorkspace() {
			continue
		}
		c, err := shelf.Chart(context.Background(), s, chart.SecretKey)
		if err != nil {
			return err
		}
		err = c.Check(context.Background(), render.New(render.Options{}), "docs", chart.Use{
			Pipeline: p.Pipeline.Name, Environment: p.Environment.Name, Service: s.Name, Values: s.Values,
			Image: "registry.example.com/docs/" + s.Name + "@sha256:" + strings.Repeat("0", 64),
		})
		if err != nil {
			return fmt.Errorf("the chart of service %s: %w", s.Name, err)
		}
	}
	return nil
}

// console runs commands and compares their output. In the expected output, "…" matches any
// string within a line and, alone on a line, any lines. Text after a prompt of pipe repl is
// typed.
func (r *reader) console(t *testing.T, text string, problem func(string, ...any)) {
	t.Helper()
	first, rest, _ := strings.Cut(text, "\n")
	for first != "" {
		line, ok := strings.CutPrefix(first, "$ ")
		if !ok {
			problem("%q: a console starts with a command, after \"$ \"", first)
			return
		}
		var want, typed strings.Builder
		for first = ""; rest != "" && first == ""; {
			var l string
			l, rest, _ = strings.Cut(rest, "\n")
			if strings.HasPrefix(l, "$ ") {
				first = l
			} else if input := typedAt.FindStringSubmatch(l); input != nil {
				typed.WriteString(input[1] + "\n")
			} else {
				want.WriteString(l + "\n")
			}
		}
		commands := shellCommands(line)
		if len(commands) != 1 || commands[0][0] != "pipe" {
			problem("%s: a console runs single commands of pipe; others are of the language sh", line)
			continue
		}
		got := r.pipe(t, commands[0][1:], typed.String())
		t.Logf("$ %s\n%s", line, got)
		if !expected(want.String()).MatchString(got) {
			problem("%s prints\n%s\nand not\n%s", line, got, want.String())
		}
	}
}

// typedAt matches a line that was typed at the prompt of pipe repl.
var typedAt = regexp.MustCompile(`^(?:\[\d+\]| +\.\.)(?: (.*))?$`)

// expected returns a pattern for the output that a page shows.
func expected(text string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A\n*`)
	for line := range strings.Lines(text) {
		if line == "…\n" {
			b.WriteString(`(?:.*\n)*?`)
			continue
		}
		b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*"))
	}
	b.WriteString(`\n*\z`)
	return regexp.MustCompile(b.String())
}

// pipe runs the command in the page's directory and returns its standard output and standard
// error as a terminal shows them. With --local it uses the page's world; there is no other
// cluster.
func (r *reader) pipe(t *testing.T, args []string, typed string) string {
	t.Helper()
	var out safeBuffer
	a := &app{
		args: args, dir: r.dir, exe: "pipe", user: "ana@laptop", now: time.Now,
		environ: []string{"PIPE_HOME=" + r.home},
		stdin:   strings.NewReader(typed), stdout: &out, stderr: &out,
		terminal: func() bool { return false },
		exit:     func(int) {},
		open: func(_ context.Context, opts local.Options) (*local.Runtime, error) {
			if !opts.Local && opts.Context == "" {
				return nil, &local.UnavailableError{Part: "cluster", Err: errors.New("this test has none"), Next: "use --local"}
			}
			return &local.Runtime{Runtime: *r.world.Runtime()}, nil
		},
		cluster: func(_ context.Context, opts local.Options) (*local.Cluster, error) {
			if !opts.Local && opts.Context == "" {
				return nil, &local.UnavailableError{Part: "cluster", Err: errors.New("this test has none"), Next: "use --local"}
			}
			return &local.Cluster{Environments: r.world.Runtime().Environments}, nil
		},
	}
	a.main()
	return out.String()
}

var makeTarget = regexp.MustCompile(`(?m)^([a-z-]+):`)

// checkCommand parses a command line of pipe, and checks that other things of this repository
// exist: targets of make, and paths in ./ .
func checkCommand(words []string) error {
	for len(words) > 0 && strings.Contains(words[0], "=") { // variables
		words = words[1:]
	}
	if len(words) == 0 {
		return nil
	}
	switch {
	case words[0] == "make":
		makefile, err := os.ReadFile(filepath.Join(moduleRoot, "Makefile"))
		if err != nil {
			return err
		}
		for _, target := range words[1:] {
			if !strings.Contains(string(makefile), "\n"+target+":") || !makeTarget.MatchString(target+":") {
				return errors.New("the Makefile has no such target")
			}
		}
	case strings.HasPrefix(words[0], "scripts/"), strings.HasPrefix(words[0], "./"):
		_, err := os.Stat(filepath.Join(moduleRoot, words[0]))
		return err
	case path.Base(words[0]) == "pipe":
		return parseCommand(words[1:])
	}
	return nil
}

// parseCommand checks the verbs, flags and arguments of pipe.
func parseCommand(args []string) error {
	root := (&app{}).root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd == root && cmd.Flags().NArg() > 0 {
		return errors.New("there is no such command")
	}
	if help, err := cmd.Flags().GetBool("help"); help || err != nil {
		return err
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// exists reports whether the module contains a file.
func exists(file string) bool {
	_, err := os.Stat(filepath.Join(moduleRoot, file))
	return err == nil
}

// inFile returns an error if a file of the module does not contain a snippet, ignoring
// indentation.
func inFile(text, file string) error {
	data, err := os.ReadFile(filepath.Join(moduleRoot, file))
	if err != nil {
		return err
	}
	plain := func(text string) string {
		var b strings.Builder
		for line := range strings.Lines(text) {
			b.WriteString(strings.TrimSpace(line) + "\n")
		}
		return b.String()
	}
	if !strings.Contains(plain(string(data)), "\n"+plain(text)) {
		return errors.New("it does not stand in " + file)
	}
	return nil
}

// TestDocLinks: the targets of the links of pages exist.
func TestDocLinks(t *testing.T) {
	for _, file := range docPages(t) {
		p := readPage(t, moduleRoot, file)
		for _, l := range p.links {
			target, anchor, _ := strings.Cut(l.text, "#")
			if strings.Contains(target, ":") { // an external link
				continue
			}
			to := file
			if target != "" {
				to = path.Join(path.Dir(file), target)
			}
			data, err := os.ReadFile(filepath.Join(moduleRoot, to))
			var info fs.FileInfo
			if err != nil { // a directory is also valid
				info, err = os.Stat(filepath.Join(moduleRoot, to))
			}
			switch {
			case err != nil:
				t.Errorf("%s:%d: links to %s, which is not there", file, l.line, l.text)
			case anchor != "" && (info != nil || !headings(string(data))[anchor]):
				t.Errorf("%s:%d: links to %s, which has no such heading", file, l.line, l.text)
			}
		}
	}
}
