package tree

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// searchers are functions of package strings, and methods of regular expressions, that
// find out what a string says.
var (
	searchers = []string{"Contains", "ContainsAny", "HasPrefix", "HasSuffix", "Cut", "CutPrefix", "CutSuffix", "TrimPrefix", "TrimSuffix", "Index", "LastIndex", "EqualFold"}
	matchers  = regexp.MustCompile(`^(Match|FindAll|Find)(String)?(Submatch)?(Index)?$`)
)

// foreign are the functions that may search the words of errors: what they read is made
// by a library or a program of others, which has nothing but words; or they only shorten
// what is shown.
var foreign = map[string]string{
	"cmd/internal/ui/environments.go runResult":          "shows the first line",
	"cmd/internal/ui/watchmodel.go watchedService.fails": "shows the first line",
	"internal/bounded/ops.go Guards.change":              "go.starlark.net: the errors of its methods are strings",
	"internal/builtins/files.go readable":                "os: the error of a path that leaves an os.Root is not exported",
	"internal/explain/parsehints.go Parse":               "go.starlark.net: the error of its parser is a string",
	"internal/git/complaint.go Complaint":                "git prints why it failed, and has one exit status for all",
	"interp/errors.go evaluation.fatal":                  "go.starlark.net: that arguments do not fit a function is a string",
	"runtime/build/cache.go noCache.failed":              "BuildKit passes on the error of a step as a string",
	"runtime/build/failure.go explain":                   "BuildKit sends errors as strings over gRPC, and those of git and registries inside them",
	"runtime/build/failure.go plain":                     "BuildKit and gRPC put prefixes before the message",
	"runtime/build/transient.go isSaid":                  "a BuildKit that is not ours sends errors of registries as strings over gRPC",
	"runtime/deploy/evidence.go operation.evidence":      "leaves out what the message shows already",
	"runtime/deploy/records.go records.Create":           "the API server does not say in the cause of the status that a Secret is too long",
	"runtime/deploy/refused.go shortCause":               "shows the first line",
	"runtime/inspect/logerrors.go unread.ofNode":         "the API server passes on the error of its connection to a kubelet as a string",
	"runtime/internal/observe/errors.go Forbidden":       "the API server distinguishes missing rights, quotas and admission only in the message",
	"runtime/internal/observe/trouble.go final":          "the kubelet passes on the error of a pull as a string",
	"runtime/internal/observe/trouble.go noCommand":      "the kubelet passes on the error of the container runtime as a string",
	"runtime/reach/answer.go answer.error":               "k8s.io/streaming: a refused upgrade is a string",
	"runtime/reach/carry.go nobodyListens":               "the kubelet sends the error of its connection to a port as a string",
	"runtime/reach/exec.go Namespace.Exec":               "the API server and the kubelet each put a prefix before the message",
	"runtime/registry/explain.go isFull":                 "registries report a full disk with the same status and code as other failures",
	"runtime/registry/keychain.go credentialError.Error": "docker-credential-helpers: what a helper printed is part of the message",
}

// TestWords: nobody finds out what has happened by searching the words of an error, of a
// hint or of evidence. What is known travels as a value: a type, a field, an Advice.
func TestWords(t *testing.T) {
	used := make(map[string]bool)
	err := eachSource(func(file, rel string) error {
		if slices.ContainsFunc(ownModules, func(m string) bool { return strings.HasPrefix(rel, m+"/") }) {
			return nil
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, rel, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, found := range wordSearches(f) {
			name := rel + " " + found.function
			if foreign[name] != "" {
				used[name] = true
				continue
			}
			t.Errorf("%s: %s searches the words of an error: ask for its type, or let it carry what is known", fset.Position(found.pos), found.function)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(foreign)) {
		if !used[name] {
			t.Errorf("%s does not search the words of an error: take it off the list", name)
		}
	}
}

// TestWordSearches: what is forbidden is found, in each form.
func TestWordSearches(t *testing.T) {
	for body, want := range map[string]bool{
		`strings.Contains(err.Error(), "forbidden")`:                      true,
		`text := err.Error(); strings.HasPrefix(text, "x")`:               true,
		`text := strings.ToLower(err.Error()); f(strings.Cut(text, "x"))`: true,
		`var text = err.Error(); re.MatchString(text)`:                    true,
		`if strings.Contains(record.Error, "x") { return }`:               true,
		`strings.Contains(status.Message, "x")`:                           true,
		`m := strings.ToLower(message); strings.Contains(m, "x")`:         true,
		`re.FindStringSubmatch(d.Hint)`:                                   true,
		`strings.Contains(strings.Join(f.Evidence, ""), "pod ")`:          true,
		`strings.Contains(name, "x"); f(err.Error())`:                     false,
		`text := err.Error(); f(text)`:                                    false,
		`errors.Is(err, fs.ErrNotExist)`:                                  false,
		`strings.Split(err.Error(), "\n")`:                                false,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc g() {\n"+body+"\n}\n", parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if found := wordSearches(f); (len(found) > 0) != want {
			t.Errorf("%s: found %v, want %v", body, found, want)
		}
	}
}

// A wordSearch is a search of the words of an error.
type wordSearch struct {
	function string // that it is in, such as "explain" or "Builder.Build"
	pos      token.Pos
}

// wordSearches returns the searches in f. A variable counts as the words of an error if
// its function assigns the result of Error() to it.
func wordSearches(f *ast.File) (found []wordSearch) {
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		words := make(map[string]bool)
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for i, value := range n.Rhs {
					if name, ok := n.Lhs[i].(*ast.Ident); ok && len(n.Lhs) == len(n.Rhs) && hasWords(value, nil) {
						words[name.Name] = true
					}
				}
			case *ast.ValueSpec:
				for i, value := range n.Values {
					if len(n.Names) == len(n.Values) && hasWords(value, nil) {
						words[n.Names[i].Name] = true
					}
				}
			}
			return true
		})
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			searches := ok && x.Name == "strings" && slices.Contains(searchers, sel.Sel.Name) || matchers.MatchString(sel.Sel.Name)
			if searches && slices.ContainsFunc(call.Args, func(arg ast.Expr) bool { return hasWords(arg, words) }) {
				found = append(found, wordSearch{functionName(fn), call.Pos()})
			}
			return true
		})
	}
	return found
}

// hasWords reports whether an expression has the words of an error in it: Error(), a field
// Error, Hint, Evidence or Message, a variable message, or one of the variables.
func hasWords(expr ast.Expr, variables map[string]bool) (has bool) {
	ast.Inspect(expr, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			has = has || variables[n.Name] || n.Name == "message"
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); !ok || x.Name != "plan" { // such as plan.Error
				has = has || slices.Contains([]string{"Error", "Hint", "Evidence", "Message"}, n.Sel.Name)
			}
			return true
		case *ast.FuncLit:
			return false
		}
		return !has
	})
	return has
}

func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	typ := fn.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if name, ok := typ.(*ast.Ident); ok {
		return name.Name + "." + fn.Name.Name
	}
	return fn.Name.Name
}
