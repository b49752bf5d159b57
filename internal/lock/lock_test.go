package lock_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/plan"
)

func TestParseLoad(t *testing.T) {
	sum := "sha256:" + strings.Repeat("a", 64)
	for _, tt := range []struct{ name, module, url, file string }{
		{"git+https://example.com/team/lib@v1.2.3//web.star", "git+https://example.com/team/lib@v1.2.3", "https://example.com/team/lib", "web.star"},
		{"git+https://example.com:8443/lib.git@feature/x//a/b.star", "git+https://example.com:8443/lib.git@feature/x", "https://example.com:8443/lib.git", "a/b.star"},
		{"git+ssh://git@example.com/lib@main//web.star", "git+ssh://git@example.com/lib@main", "ssh://git@example.com/lib", "web.star"},
		{"git+file:///srv/lib@main//web.star", "git+file:///srv/lib@main", "file:///srv/lib", "web.star"},
		{"git+http://127.0.0.1:80/lib@main//web.star", "git+http://127.0.0.1:80/lib@main", "http://127.0.0.1:80/lib", "web.star"},
		{"git+http://[::1]:80/lib@main//web.star", "git+http://[::1]:80/lib@main", "http://[::1]:80/lib", "web.star"},
		{"oci://example.com/team/lib:v1//web.star", "oci://example.com/team/lib:v1", "", "web.star"},
		{"oci://localhost:5000/lib@" + sum + "//web.star", "oci://localhost:5000/lib@" + sum, "", "web.star"},
	} {
		m, file, err := lock.ParseLoad(tt.name)
		if err != nil || m.String() != tt.module || file != tt.file || !m.OCI() && m.URL() != tt.url {
			t.Errorf("ParseLoad(%q) = %q (%q), %q, %v", tt.name, m, m.URL(), file, err)
		}
	}
}

// TestParseLoadRefuses: names that git or a registry would interpret differently are
// rejected, and no error shows a password.
func TestParseLoadRefuses(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"git+https://example.com/lib@v1", `"git+https://example.com/lib@v1" does not name a file of the module`},
		{"git+https://example.com/lib@v1//web.txt", `"web.txt" is not a module: its name must end in .star`},
		{"git+https://example.com/lib@v1//../web.star", `"../web.star" is not a valid path of a file in the module`},
		{"git+https://example.com/lib@v1//a//web.star", `"a//web.star" is not a valid path of a file in the module`},
		{"git+https://example.com/lib@v1///etc/x.star", `"/etc/x.star" is not a valid path of a file in the module`},
		{"git+ext::sh -c id@v1//web.star", `"git+ext::sh -c id@v1//web.star" does not name a file of the module`},
		{"git+ext://sh/lib@v1//web.star", `"git+ext://sh/lib@v1": unknown scheme "git+ext": use git+https, git+ssh, git+file or oci`},
		{"git+https://--upload-pack=id/lib@v1//web.star", `"git+https://--upload-pack=id/lib@v1" has no valid host`},
		{"git+ssh://-oProxyCommand=id/lib@v1//web.star", `"git+ssh://-oProxyCommand=id/lib@v1" has no valid host`},
		{"git+ssh://-l@example.com/lib@v1//web.star", `"git+ssh://-l@example.com/lib@v1" contains a user or a password: use a credential helper of git or Docker instead`},
		{"git+https://example.com/-u/lib@v1//web.star", `"-u/lib" is not a valid repository path`},
		{"git+https://example.com/--upload-pack=id@v1//web.star", `"--upload-pack=id" is not a valid repository path`},
		{"git+https://example.com/a/../../b@v1//web.star", `"a/../../b" is not a valid repository path`},
		{"git+https://example.com/lib@--upload-pack=id//web.star", `"--upload-pack=id" is not a valid git ref`},
		{"git+https://example.com/lib@a..b//web.star", `"a..b" is not a valid git ref`},
		{"git+https://example.com/lib//web.star", `"git+https://example.com/lib" has no ref: add a tag, a branch or a commit after the repository, such as @v1.2.3`},
		{"git+https://me:hunter2@example.com/lib@v1//web.star", `"git+https://REDACTED@example.com/lib@v1" contains a user or a password: use a credential helper of git or Docker instead`},
		{"git+https://hunter2@example.com/lib@v1//web.star", `"git+https://REDACTED@example.com/lib@v1" contains a user or a password: use a credential helper of git or Docker instead`},
		{"git+ssh://git:hunter2@example.com/lib@v1//web.star", `"git+ssh://REDACTED@example.com/lib@v1" contains a user or a password: use a credential helper of git or Docker instead`},
		{"git+https://example.com/lib?token=hunter2@v1//web.star", `"git+https://example.com/lib?REDACTED" has a query, which may contain a token: use a credential helper of git or Docker instead`},
		{"oci://example.com/lib?token=hunter2:v1//web.star", `"oci://example.com/lib?REDACTED" has a query, which may contain a token: use a credential helper of git or Docker instead`},
		{"git+http://example.com/lib@v1//web.star", `"git+http://example.com/lib@v1": git+http is only allowed for this machine: use git+https`},
		{"git+file://host/lib@v1//web.star", `"git+file://host/lib@v1": git+file:// is followed by an absolute path, such as git+file:///srv/lib@v1`},
		{"oci://example.com/lib//web.star", `"oci://example.com/lib" has no tag: add one after the repository, such as :v1.2.3`},
		{"oci://example.com/Lib:v1//web.star", `"Lib" is not a valid repository name`},
		{"oci://example.com/lib:-x//web.star", `"-x" is not a valid tag`},
		{"oci://example.com/lib@sha256:12//web.star", `"sha256:12" is not a valid digest: want sha256:… with 64 digits`},
		{"oci://me:hunter2@example.com/lib:v1//web.star", `"oci://REDACTED@example.com/lib:v1" contains a user or a password: use a credential helper of git or Docker instead`},
	} {
		m, _, err := lock.ParseLoad(tt.name)
		if err == nil || err.Error() != tt.want {
			t.Errorf("ParseLoad(%q) = %v, %v, want %s", tt.name, m, err, tt.want)
		}
	}
}

func TestParse(t *testing.T) {
	sum, commit := "sha256:"+strings.Repeat("a", 64), strings.Repeat("b", 40)
	good := `{
  "version": 1,
  "modules": {
    "git+https://example.com/lib@v1": {
      "commit": "` + commit + `",
      "digest": "` + sum + `"
    },
    "oci://example.com/lib:v1": {
      "manifest": "` + sum + `",
      "digest": "` + sum + `"
    }
  }
}
`
	f, err := lock.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(f.Bytes()); got != good {
		t.Errorf("Bytes = %s, want %s", got, good)
	}
	if f, err := lock.Parse(nil); err != nil || len(f.Modules) != 0 {
		t.Errorf("Parse of nothing = %v, %v", f, err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{good, "{", "it is not JSON: unexpected end of JSON input"},
		{`"version": 1`, `"version": 2`, "it has version 2, and this pipe reads version 1"},
		{`"commit"`, `"comit"`, `json: unknown field "comit"`},
		{commit, "main", "git+https://example.com/lib@v1 has no full commit hash"},
		{`"manifest": "sha256`, `"manifest": "md5`, "oci://example.com/lib:v1 has no valid digest of its manifest, such as sha256:…"},
		{sum + `"` + "\n    },", `x"` + "\n    },", "git+https://example.com/lib@v1 has no valid digest, such as sha256:…"},
		{"git+https://example.com/lib@v1", "git+https://me:hunter2@example.com/lib@v1", `"git+https://REDACTED@example.com/lib@v1" contains a user or a password: use a credential helper of git or Docker instead`},
		{"git+https://example.com/lib@v1", "lib", `"lib" is not a remote module: it is written as git+https://HOST/REPOSITORY@REF or oci://HOST/REPOSITORY:TAG`},
	} {
		text := strings.Replace(good, tt.old, tt.new, 1)
		if _, err := lock.Parse([]byte(text)); err == nil || err.Error() != tt.want {
			t.Errorf("Parse(%s) = %v, want %s", text, err, tt.want)
		}
	}
}

func TestReadListing(t *testing.T) {
	text := []byte("x = 1")
	l := lock.Listing{"b.star": plan.DigestOf(text), "a/b.star": plan.DigestOf(nil)}
	cache := fstest.MapFS{}
	keep := func(data []byte) plan.Digest {
		cache[lock.Name(plan.DigestOf(data))] = &fstest.MapFile{Data: data}
		return plan.DigestOf(data)
	}
	got, err := lock.ReadListing(cache, keep(l.Bytes()))
	if err != nil || string(got.Bytes()) != string(l.Bytes()) {
		t.Errorf("ReadListing = %v, %v, want %v", got, err, l)
	}
	if _, err := lock.ReadListing(cache, plan.DigestOf(text)); !errors.Is(err, lock.ErrMissing) {
		t.Errorf("ReadListing of what is not there = %v", err)
	}
	for _, bad := range []string{"x", string(plan.DigestOf(nil)) + " ../x.star\n", string(plan.DigestOf(nil)) + " x.txt\n", "sha256:1 x.star\n"} {
		d := keep([]byte(bad))
		if _, err := lock.ReadListing(cache, d); err == nil || err.Error() != string(d)+" is not a listing of a module" {
			t.Errorf("ReadListing(%q) = %v", bad, err)
		}
	}
	large := keep(make([]byte, lock.MostSize+1))
	if _, err := lock.ReadFile(cache, large); err == nil || err.Error() != "the file that is stored as "+string(large)+" is not a file of a module" {
		t.Errorf("ReadFile of a large file = %v", err)
	}
}
