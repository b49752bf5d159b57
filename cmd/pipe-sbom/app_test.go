package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tempTree returns a directory with these files. A name that ends with a slash is a directory, a content that starts
// with "-> " is a symbolic link, and a name that starts with "*" is executable.
func tempTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		plain, executable := strings.CutPrefix(name, "*")
		file, mode := filepath.Join(dir, plain), os.FileMode(0o644)
		if executable {
			mode = 0o755
		}
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		to, link := strings.CutPrefix(content, "-> ")
		switch {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(file, 0o755)
		case link:
			err = os.Symlink(to, file)
		default:
			err = os.WriteFile(file, []byte(content), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// scan runs the command on the directories source and, if they are not empty, extras, and returns the documents that it
// writes, by name.
func scan(t *testing.T, source, extras string) (map[string]spdxStatement, error) {
	t.Helper()
	destination := t.TempDir()
	environ := map[string]string{sourceVariable: source, extrasVariable: extras, destinationVariable: destination}
	var stdout bytes.Buffer
	if err := (app{getenv: func(name string) string { return environ[name] }, stdout: &stdout}).run(); err != nil {
		return nil, err
	}
	all := map[string]spdxStatement{}
	files, err := os.ReadDir(destination)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(destination, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		var s spdxStatement
		if err := json.Unmarshal(data, &s); err != nil {
			t.Fatalf("%s: %v", f.Name(), err)
		}
		all[f.Name()] = s
	}
	return all, nil
}

// found returns the packages of the document of a directory, each as its name, version, license and package URL.
func found(t *testing.T, dir string) []string {
	t.Helper()
	all, err := scan(t, dir, "")
	if err != nil {
		t.Fatal(err)
	}
	d, ok := all[filepath.Base(dir)+".spdx.json"]
	if !ok || len(all) != 1 {
		t.Fatalf("the documents are %v, want one that is named after %s", all, dir)
	}
	var texts []string
	for _, p := range d.Predicate.Packages[1:] {
		text := []string{p.Name, p.VersionInfo}
		if p.LicenseDeclared != noAssertion {
			text = append(text, p.LicenseDeclared)
		}
		for _, ref := range p.ExternalRefs {
			text = append(text, ref.Locator)
		}
		texts = append(texts, strings.Join(text, " "))
	}
	return texts
}

func checkFound(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := found(t, dir); !slices.Equal(got, want) {
		t.Errorf("found\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// TestDocument: what BuildKit and readers of SPDX need; the same files have the same document.
func TestDocument(t *testing.T) {
	t.Parallel()
	files := map[string]string{"lib/apk/db/installed": "P:musl\nV:1.2.5-r0\nL:MIT\n\nP:odd\nV:1\nL:custom license\n"}
	var texts []string
	for range 2 {
		source := filepath.Join(tempTree(t, map[string]string{"core/sbom/": ""}), "core", "sbom")
		if err := os.CopyFS(source, os.DirFS(tempTree(t, files))); err != nil {
			t.Fatal(err)
		}
		extras := tempTree(t, map[string]string{"sbom-base/lib/apk/db/installed": "P:base\nV:2\n", "file": ""})
		all, err := scan(t, source, extras)
		if err != nil || len(all) != 2 || len(all["sbom-base.spdx.json"].Predicate.Packages) != 2 {
			t.Fatalf("the documents are %v, %v, want one of each directory", all, err)
		}
		text, err := json.MarshalIndent(all["sbom.spdx.json"], "", " ")
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if texts[0] != texts[1] {
		t.Errorf("the same files have two documents:\n%s\n%s", texts[0], texts[1])
	}
	for _, want := range []string{
		`"_type": "https://in-toto.io/Statement/v0.1"`, `"predicateType": "https://spdx.dev/Document"`, `"spdxVersion": "SPDX-2.3"`, `"relationshipType": "DESCRIBES"`,
		`"sourceInfo": "found in /lib/apk/db/installed"`, `"licenseDeclared": "MIT"`, `"licenseComments": "declared as: custom license"`,
	} {
		if !strings.Contains(texts[0], want) {
			t.Errorf("the document has no %s:\n%s", want, texts[0])
		}
	}
}

// TestEnvironment: what is wrong with the environment is an error that says what is missing.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, test := range map[string]struct{ source, extras, destination, want string }{
		"nothing":        {"", "", "", "BUILDKIT_SCAN_SOURCE and BUILDKIT_SCAN_DESTINATION must be set"},
		"no source":      {filepath.Join(dir, "missing"), "", dir, "no such file"},
		"no destination": {dir, "", filepath.Join(dir, "missing"), "no such file"},
		"no extras":      {dir, filepath.Join(dir, "missing"), t.TempDir(), ""},
	} {
		environ := map[string]string{sourceVariable: test.source, extrasVariable: test.extras, destinationVariable: test.destination}
		err := app{getenv: func(name string) string { return environ[name] }, stdout: &bytes.Buffer{}}.run()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: run = %v, want %q", name, err, test.want)
		}
	}
}
