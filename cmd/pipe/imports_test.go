package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/pipelinefile/pipe/"

// policy lists, for every package of the module, what it may import: packages
// of the module by their path below it, those of others by prefix. The standard
// library is free, except what hermetic packages may not use. To change this
// table is to change the architecture: do it in a commit of its own and say why.
var policy = map[string][]string{
	// what a pipeline is, as data
	"plan": {},
	// the language: evaluation is hermetic (L1)
	"stdlib": {},
	// takes credentials out of strings: for all that show, store or send them
	"internal/redact": {},
	// what generated charts take and how databases are run, as data: the language checks it, runtime/chart renders it
	"internal/chartspec": {"plan"},
	"internal/builtins":  {"plan", "internal/redact", "internal/chartspec", "internal/glob", "go.starlark.net", "github.com/BurntSushi/toml", "github.com/Masterminds/semver/v3", "sigs.k8s.io/yaml"},
	// what of it a host program needs for builtins of its own
	"builtins": {"plan", "internal/builtins", "go.starlark.net"},
	"interp":   {"plan", "internal/redact", "builtins", "internal/builtins", "stdlib", "internal/lock", "go.starlark.net"},
	// runs the program git, in one way, for modules, builds and the record of a run
	"internal/git": {"internal/redact"},
	// which remote modules are pinned, and their proven content: read by the language, written by modules
	"internal/lock": {"plan", "internal/redact"},
	// how the patterns of glob() match, for evaluation and for watching
	"internal/glob": {},
	// fetches remote modules, so that evaluation does not: only the command imports it
	"modules": {"plan", "internal/git", "internal/redact", "internal/builtins", "internal/lock", "go.starlark.net", "github.com/google/go-containerregistry", "golang.org/x/sys"},
	// lays out texts of the language: the printer is the one that Bazel's users know
	"interp/format": {"plan", "interp", "go.starlark.net", "github.com/bazelbuild/buildtools/build"},
	// what is right in the language and wrong all the same; the Dockerfile part is apart, as it links BuildKit
	"interp/lint":            {"plan", "internal/redact", "internal/builtins", "interp", "go.starlark.net"},
	"interp/lint/dockerfile": {"plan", "interp/lint", "github.com/moby/buildkit", "github.com/opencontainers"},
	// runs tests that are written in the language; the differences of texts are those of pipe fmt
	"interp/suite": {"plan", "interp", "github.com/pmezard/go-difflib/difflib"},
	// speaks with editors; it waits, so it is not hermetic itself, and what it evaluates is
	"interp/lsp": {"plan", "builtins", "internal/builtins", "internal/lock", "interp", "interp/lint", "interp/format", "stdlib", "go.starlark.net"},
	// carrying out: knows drivers only by its own interfaces
	"runtime":                {"plan", "runtime/internal/sched"},
	"runtime/internal/sched": {},
	// whether a file has changed, and what is left out of a build context: for builds and for watching
	"runtime/internal/content":      {},
	"runtime/internal/dockerignore": {"plan", "github.com/moby/patternmatcher"},
	// what changed of a plan's inputs, and the loop of watch mode
	"runtime/watch": {"plan", "runtime", "runtime/internal/content", "runtime/internal/dockerignore", "internal/glob", "github.com/fsnotify/fsnotify"},
	// runs parts of pipe as background processes of the same binary
	"internal/background": {"golang.org/x/sys"},
	// which process has a port that others want
	"internal/ports": {},
	// the drivers: each knows one system
	"runtime/build": {
		"plan", "internal/git", "internal/redact", "runtime", "runtime/internal/content", "runtime/internal/dockerignore", "github.com/moby", "github.com/containerd", "github.com/opencontainers", "github.com/tonistiigi",
		"github.com/docker/cli/cli/config", "github.com/sirupsen/logrus", "golang.org/x/sync", "google.golang.org/grpc",
	},
	"runtime/build/daemon": {
		"internal/background", "github.com/moby", "github.com/containerd", "github.com/opencontainers",
		"github.com/sirupsen/logrus", "golang.org/x/sys", "google.golang.org/grpc",
	},
	"runtime/registry":       {"plan", "internal/redact", "runtime", "github.com/google/go-containerregistry"},
	"runtime/registry/serve": {"internal/background", "internal/ports", "github.com/distribution", "github.com/sirupsen/logrus"},
	// runs the templates of charts, which are programs of others, in processes with bounds
	"runtime/render": {"helm.sh/helm/v3", "k8s.io", "golang.org/x/sys"},
	"runtime/chart":  {"plan", "runtime/render", "internal/chartspec", "internal/redact", "helm.sh/helm/v3", "sigs.k8s.io/yaml"},
	"runtime/deploy": {"plan", "runtime/render", "internal/redact", "runtime", "runtime/chart", "helm.sh/helm/v3", "k8s.io", "sigs.k8s.io/yaml"},
	"runtime/store":  {"plan", "runtime", "k8s.io"},
	// how environments stand, as data for people and programs
	"runtime/view": {"plan", "runtime", "runtime/deploy"},
	// reaches into running containers: forwards, commands, copied files
	"runtime/reach": {"plan", "runtime", "internal/ports", "k8s.io"},
	// puts the drivers together
	"runtime/local": {
		"plan", "runtime/render", "internal/redact", "runtime", "internal/background", "runtime/build", "runtime/build/daemon", "runtime/registry",
		"runtime/registry/serve", "runtime/deploy", "runtime/store", "k8s.io/client-go",
		"go.yaml.in/yaml/v3", // values of a file as they are written
	},
	// for tests, ours and those of embedders
	"runtime/runtimetest":      {"plan", "runtime"},
	"runtime/internal/testenv": {"runtime/render", "internal/background", "runtime/build/daemon", "runtime/registry/serve", "github.com/google/go-containerregistry", "github.com/sirupsen/logrus", "k8s.io"},
	// the command: what it shows is apart from what it does
	"cmd/internal/doc":    {"internal/builtins", "interp", "interp/lint", "stdlib", "go.starlark.net"},
	"cmd/internal/doctor": {"plan", "runtime", "runtime/build/daemon", "runtime/local", "runtime/watch"},
	"cmd/internal/eject":  {"plan", "runtime/chart", "sigs.k8s.io/yaml"},
	"cmd/internal/graph":  {"plan"},
	"cmd/internal/repl":   {"plan", "builtins", "internal/builtins", "interp", "go.starlark.net", "golang.org/x/term"},
	"cmd/internal/ui":     {"plan", "runtime", "runtime/view", "charm.land", "golang.org/x/sys", "github.com/muesli/cancelreader"}, // the last two: keys of a terminal
	"cmd/internal/why":    {"plan"},
	"cmd/pipe": {
		"plan", "runtime/render", "internal/redact", "internal/git", "internal/builtins", "interp", "modules", "interp/format", "interp/lint", "interp/lint/dockerfile", "interp/lsp", "interp/suite", "runtime", "internal/background", "runtime/local", "runtime/build/daemon", "runtime/registry/serve",
		"runtime/deploy", "runtime/reach", "runtime/view", "runtime/watch", "cmd/internal/doc", "cmd/internal/doctor", "cmd/internal/eject", "cmd/internal/graph", "cmd/internal/repl", "cmd/internal/ui", "cmd/internal/why", "github.com/spf13", "golang.org/x/term", "sigs.k8s.io/yaml",
		"go.yaml.in/yaml/v3", // values of a file as they are written
		"github.com/pmezard/go-difflib/difflib",
		"k8s.io/klog/v2", // to keep what client-go logs off standard error
	},
}

// hermetic packages may not reach the clock, chance, the network, processes or
// the environment: neither by these imports nor by these functions.
var (
	hermetic       = []string{"plan", "builtins", "internal/builtins", "internal/chartspec", "interp", "internal/lock", "internal/glob", "internal/redact", "stdlib"}
	noImports      = []string{"net", "net/http", "os/exec", "os/signal", "math/rand", "math/rand/v2", "crypto/rand", "syscall"}
	noFunctions    = []string{"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.Tick", "os.Getenv", "os.LookupEnv", "os.Environ", "os.ExpandEnv", "os.Getwd", "os.Hostname"}
	ownModules     = []string{"cmd/pipe-cluster", "tools"} // of which nothing here may import anything, nor they of us
	clusterImports = module + "cmd/pipe-cluster/"
)

// exempt are files of hermetic packages that may import one of noImports.
var exempt = map[string]string{
	"internal/builtins/files_unix.go": "syscall", // a constant: a file is opened without waiting for it
}

// TestImports holds the code to the policy. It reads the files of every
// operating system itself, so that a result from the test cache is never older
// than the code.
func TestImports(t *testing.T) {
	const root = "../.."
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if d.Name() == "testdata" || rel == "examples" || rel == "bin" || strings.HasPrefix(d.Name(), ".git") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), rel, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(filepath.Dir(rel))
		if slices.ContainsFunc(ownModules, func(m string) bool { return name == m || strings.HasPrefix(name, m+"/") }) {
			checkApart(t, rel, f)
			return nil
		}
		if _, ok := policy[name]; !ok && !seen[name] {
			t.Errorf("package %s is not in the policy", name)
		}
		seen[name] = true
		checkFile(t, rel, name, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range policy {
		if !seen[name] {
			t.Errorf("the policy names %s, which is gone", name)
		}
	}
}

// checkApart reports what a module of its own imports of this one.
func checkApart(t *testing.T, file string, f *ast.File) {
	t.Helper()
	for _, spec := range f.Imports {
		if imp := importPath(t, spec); strings.HasPrefix(imp, module) && !strings.HasPrefix(imp, clusterImports) {
			t.Errorf("%s: a module of its own may not import %s", file, imp)
		}
	}
}

func checkFile(t *testing.T, file, name string, f *ast.File) {
	t.Helper()
	isHermetic := slices.Contains(hermetic, name)
	for _, spec := range f.Imports {
		imp := importPath(t, spec)
		own, isOwn := strings.CutPrefix(imp, module)
		first, _, _ := strings.Cut(imp, "/")
		switch {
		case isOwn:
			if !slices.Contains(policy[name], own) {
				t.Errorf("%s: %s may not import %s", file, name, own)
			}
		case !strings.Contains(first, "."): // the standard library
			if isHermetic && slices.Contains(noImports, imp) && exempt[file] != imp {
				t.Errorf("%s: imports %s, but evaluation is hermetic", file, imp)
			}
		case !slices.ContainsFunc(policy[name], func(a string) bool { return imp == a || strings.HasPrefix(imp, a+"/") }):
			t.Errorf("%s: %s may not import %s", file, name, imp)
		}
	}
	if !isHermetic {
		return
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(noFunctions, x.Name+"."+sel.Sel.Name) {
				t.Errorf("%s: uses %s.%s, but evaluation is hermetic", file, x.Name, sel.Sel.Name)
			}
		}
		return true
	})
}

func importPath(t *testing.T, spec *ast.ImportSpec) string {
	t.Helper()
	imp, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		t.Fatal(err)
	}
	return imp
}
