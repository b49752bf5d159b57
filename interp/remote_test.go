package interp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

const remoteLib = "git+https://example.com/lib@v1"

// remoteModule returns a cache with that module, and the lock file that pins it.
func remoteModule(files map[string]string) (fstest.MapFS, string) {
	cache, listing := fstest.MapFS{}, lock.Listing{}
	keep := func(data []byte) plan.Digest {
		d := plan.DigestOf(data)
		cache[lock.Name(d)] = &fstest.MapFile{Data: data}
		return d
	}
	for name, text := range files {
		listing[name] = keep([]byte(text))
	}
	pins := lock.File{Version: lock.Version, Modules: map[string]lock.Pin{
		remoteLib: {Commit: strings.Repeat("0", 40), Digest: keep(listing.Bytes())},
	}}
	return cache, string(pins.Bytes())
}

func evalRemote(t *testing.T, text, pins string, cache fstest.MapFS) (*plan.Plan, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"Pipelinefile": text, "Pipelinefile.lock": pins} {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	opts := interp.Options{Root: dir}
	if cache != nil {
		opts.Cache = cache
	}
	return interp.Eval(t.Context(), filepath.Join(dir, "Pipelinefile"), opts)
}

// TestRemote checks that a pinned module is read from the cache, that its relative loads
// load its own files, and that the inputs list what was read and the lock file (L7).
func TestRemote(t *testing.T) {
	cache, pins := remoteModule(map[string]string{
		"web/api.star": "load(\"../name.star\", \"prefix\")\nload(\"@std//web.star\", \"site\")\ndef api(name):\n    return site(prefix + name, image = \"x:1\")\n",
		"name.star":    `prefix = "remote-"`,
	})
	p, err := evalRemote(t, "load(\""+remoteLib+"//web/api.star\", \"api\")\npipeline(\"x\")\napi(\"a\")\n", pins, cache)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Services) != 1 || p.Services[0].Name != "remote-a" {
		t.Errorf("services %+v, want remote-a", p.Services)
	}
	var got []string
	for _, in := range p.Inputs {
		if in.Digest == "" {
			t.Errorf("%s has no digest", in.Path)
		}
		got = append(got, string(in.Kind)+" "+in.Path)
	}
	want := []string{"module Pipelinefile", "lock Pipelinefile.lock", "remote " + remoteLib + "//name.star", "remote " + remoteLib + "//web/api.star"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("inputs: -want +got\n%s", diff)
	}
}

// TestRemoteErrors checks that a module that does not match its pin is an error that
// names the command to run, and that no error shows a password.
func TestRemoteErrors(t *testing.T) {
	cache, pins := remoteModule(map[string]string{
		"web.star": "x = 1", "up.star": `load("../../secret.star", "x")`, "abs.star": `load("/etc/passwd", "x")`, "bad.star": "x = y",
	})
	without := func(text string) fstest.MapFS {
		out := fstest.MapFS{}
		for name, f := range cache {
			if string(f.Data) != text {
				out[name] = f
			}
		}
		return out
	}
	changed := without("")
	changed[lock.Name(plan.DigestOf([]byte("x = 1")))] = &fstest.MapFile{Data: []byte("x = 2")}
	const example = `write, for example, "git+https://example.com/lib@v1.2.3//web.star" or "oci://example.com/lib:v1//web.star"`
	at := func(load, message, hint string) string {
		return "Pipelinefile:1:1: load: " + message + "\n    load(\"" + load + "\", \"x\")\n    ^\n    " + hint
	}
	for _, tt := range []struct {
		name, load, pins string
		cache            fstest.MapFS
		want             string
	}{
		{"no cache", remoteLib + "//web.star", pins, nil, at(remoteLib+"//web.star", remoteLib+" is a remote module, and this evaluation has none", "load files of the workspace, or of @std")},
		{"no lock file", remoteLib + "//web.star", "", cache, at(remoteLib+"//web.star", remoteLib+" is not pinned in Pipelinefile.lock", "run: pipe mod sync")},
		{"not pinned", "git+https://example.com/lib@v2//web.star", pins, cache, at("git+https://example.com/lib@v2//web.star", "git+https://example.com/lib@v2 is not pinned in Pipelinefile.lock", "run: pipe mod sync")},
		{"lock file broken", remoteLib + "//web.star", "{", cache, at(remoteLib+"//web.star", "Pipelinefile.lock cannot be read: it is not JSON: unexpected end of JSON input", "put back the Pipelinefile.lock that was committed, or delete it and run: pipe mod sync")},
		{"lock file newer", remoteLib + "//web.star", `{"version": 2}`, cache, at(remoteLib+"//web.star", "Pipelinefile.lock cannot be read: it has version 2, and this pipe reads version 1", "put back the Pipelinefile.lock that was committed, or delete it and run: pipe mod sync")},
		{"not fetched", remoteLib + "//web.star", pins, fstest.MapFS{}, at(remoteLib+"//web.star", remoteLib+" is pinned, but was not fetched to this machine", "run: pipe mod sync")},
		{"file not fetched", remoteLib + "//web.star", pins, without("x = 1"), at(remoteLib+"//web.star", remoteLib+" is pinned, but was not fetched to this machine", "run: pipe mod sync")},
		{"changed", remoteLib + "//web.star", pins, changed, at(remoteLib+"//web.star",
			remoteLib+" is not what it was pinned to: the file that is stored as "+string(plan.DigestOf([]byte("x = 1")))+" has the digest "+string(plan.DigestOf([]byte("x = 2"))),
			"run: pipe mod sync, which fetches it again")},
		{"no such file", remoteLib + "//wbe.star", pins, cache, at(remoteLib+"//wbe.star", remoteLib+"//wbe.star does not exist", `did you mean "git+https://example.com/lib@v1//web.star"?`)},
		{"no file", remoteLib, pins, cache, at(remoteLib, `"`+remoteLib+`" does not name a file of the module`, example)},
		{"no ref", "git+https://example.com/lib//web.star", pins, cache, at("git+https://example.com/lib//web.star", `"git+https://example.com/lib" has no ref: add a tag, a branch or a commit after the repository, such as @v1.2.3`, example)},
		{"password", "git+https://me:hunter2@example.com/lib@v1//web.star", pins, cache, at("git+https://xxxxxxxxxx@example.com/lib@v1//web.star",
			`"git+https://REDACTED@example.com/lib@v1" contains a user or a password: use a credential helper of git or Docker instead`, example)},
		{"up", remoteLib + "//up.star", pins, cache, remoteLib + "//up.star:1:1: load: \"../../secret.star\" leaves the remote module\n    load(\"../../secret.star\", \"x\")\n    ^\nstack:\n    Pipelinefile:1:1: in <toplevel>\n    " + remoteLib + "//up.star:1:1: in <toplevel>"},
		{"absolute", remoteLib + "//abs.star", pins, cache, remoteLib + "//abs.star:1:1: load: \"/etc/passwd\" is an absolute path\n    load(\"/etc/passwd\", \"x\")\n    ^\nstack:\n    Pipelinefile:1:1: in <toplevel>\n    " + remoteLib + "//abs.star:1:1: in <toplevel>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := evalRemote(t, "load(\""+tt.load+"\", \"x\")\npipeline(\"x\")\n", tt.pins, tt.cache)
			if err == nil {
				t.Fatal("Eval: no error")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("Eval: -want +got\n%s", diff)
			}
		})
	}
}

// TestLibraryCommand checks that no module of elsewhere can declare what is run on this machine,
// directly or through a function of Starlark, but can use what a file of the workspace declares.
func TestLibraryCommand(t *testing.T) {
	for name, module := range map[string]string{
		"a function":   "def build(): return command_build([\"make\"])",
		"at the top":   "made = command_build([\"make\"])\ndef build(): return made",
		"another name": "call = command_build\ndef build(): return call([\"make\"])",
		"a Go program": "def build(): return go_image(base = \"scratch\")",
		"a callback":   "def build(): return max([[\"make\"]], key = command_build)",
	} {
		cache, pins := remoteModule(map[string]string{"tools.star": module + "\n"})
		_, err := evalRemote(t, "load(\""+remoteLib+"//tools.star\", \"build\")\npipeline(\"x\")\napplication(\"a\", build = build())\n", pins, cache)
		function := "command_build"
		if strings.Contains(module, "go_image") {
			function = "go_image"
		}
		want := function + ": " + remoteLib + "//tools.star calls it, and only a file of the workspace may, because it runs a program on this machine"
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "call "+function+"() in the Pipelinefile, and pass the build to the module") {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	cache, pins := remoteModule(map[string]string{"tools.star": "def app(name, build): return application(name, build = build)\n"})
	p, err := evalRemote(t, "load(\""+remoteLib+"//tools.star\", \"app\")\npipeline(\"x\")\napp(\"a\", command_build([\"make\"]))\n", pins, cache)
	if err != nil || p.Build("a").Command == nil {
		t.Errorf("a build that is passed to a module: %v", err)
	}
}
