package local

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// fakeManagers returns options with a program pipe-secrets that appends its request to the file "requests" of the
// returned directory, and writes the response.
func fakeManagers(t *testing.T, response string) (Options, string) {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\ncat >> '" + dir + "/requests'\necho >> '" + dir + "/requests'\necho hidden >&2\n" + response
	if err := os.WriteFile(filepath.Join(dir, "pipe-secrets"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return Options{Executable: filepath.Join(dir, "pipe"), Dir: "/workspace"}, dir
}

func requests(t *testing.T, dir string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "requests"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// TestReferences: the values of references that a plan needs are fetched in one request, once (D30).
func TestReferences(t *testing.T) {
	opts, dir := fakeManagers(t, `echo '{"version": 1, "answers": [{"value": "djE="}, {"value": "djI="}]}'`)
	file := source(t, "s.yaml", "one: ref+vault://secret/a?address=http://x#/one\ntwo: {k: secretref+sops://b.yaml#/k}\nsame: ref+vault://secret/a?address=http://x#/one\nother: ref+vault://secret/other\nplain: text\n")
	opts.Secrets = Secrets{EnvSecrets("", []string{"PLAIN=ref+vault://literal"}), file, source(t, ".env", "ONE=ref+vault://second\n")}
	opts.Hide = []plan.SecretRef{{Name: "one"}, {Name: "two", Key: "k"}, {Name: "same"}, {Name: "plain"}, {Name: "missing"}}
	for range 2 {
		if err := opts.FetchSecrets(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := `{"ask":[{"reference":"ref+vault://secret/a?address=http://x#/one","dir":"DIR"},{"reference":"secretref+sops://b.yaml#/k","dir":"DIR"}],"timeout":"30s","version":1,"workspace":"/workspace"}`
	if got := requests(t, dir); len(got) != 1 || strings.ReplaceAll(got[0], file.dir, "DIR") != want {
		t.Errorf("requests %q, want one: %s", got, want)
	}
	for ref, want := range map[plan.SecretRef]string{{Name: "one"}: "v1", {Name: "two", Key: "k"}: "v2", {Name: "same"}: "v1", {Name: "plain"}: "ref+vault://literal"} {
		if got, err := opts.secrets().Secret(t.Context(), ref); err != nil || got.Reveal() != want {
			t.Errorf("Secret(%+v) = %q, %v; want %q", ref, got.Reveal(), err, want)
		}
	}
	if _, err := opts.secrets().Secret(t.Context(), plan.SecretRef{Name: "missing"}); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("a secret that no source has: %v", err)
	}
	if _, err := opts.Secrets.Secret(t.Context(), plan.SecretRef{Name: "other"}); !errors.Is(err, errUnfetched) {
		t.Errorf("a value that was not fetched: %v", err)
	}
}

// TestLateReference: what nobody has fetched is fetched when it is needed.
func TestLateReference(t *testing.T) {
	opts, dir := fakeManagers(t, `echo '{"version": 1, "answers": [{"value": "djE="}]}'`)
	opts.Secrets = Secrets{source(t, "s.json", `{"one": "ref+vault://secret/a#/one"}`)}
	late := opts.secrets()
	for range 2 {
		if got, err := late.Secret(t.Context(), plan.SecretRef{Name: "one"}); err != nil || got.Reveal() != "v1" {
			t.Errorf("Secret = %q, %v", got.Reveal(), err)
		}
	}
	if got := requests(t, dir); len(got) != 1 {
		t.Errorf("requests: %q", got)
	}
}

// TestFetchErrors: each failed reference is named without its parameters; no value and nothing that the program prints is
// shown.
func TestFetchErrors(t *testing.T) {
	for name, tt := range map[string]struct{ response, want string }{
		"failed":       {`echo '{"version": 1, "answers": [{"error": "no key k at https://user:hidden@vault"}, {"value": "aGlkZGVu"}]}'`, "secret a: ref+vault://secret/a#/k of s.yaml: no key k"},
		"empty":        {`echo '{"version": 1, "answers": [{}, {}]}'`, "a value is empty"},
		"too few":      {`echo '{"version": 1, "answers": [{"value": "aGlkZGVu"}]}'`, "pipe and pipe-secrets must be of the same version"},
		"other":        {`echo '{"version": 2, "answers": []}'`, "pipe and pipe-secrets must be of the same version"},
		"no response":  {`echo hidden`, "pipe and pipe-secrets must be of the same version"},
		"not possible": {`echo '{"version": 1, "error": "no"}'`, "pipe-secrets: no"},
		"crashed":      {`exit 2`, "pipe-secrets: exit status 2"},
	} {
		t.Run(name, func(t *testing.T) {
			opts, _ := fakeManagers(t, tt.response)
			from := source(t, "s.yaml", "a: ref+vault://secret/a?secret_id=hidden#/k\nb: ref+vault://secret/b\n")
			from.name = "s.yaml"
			opts.Secrets, opts.Hide = Secrets{from}, []plan.SecretRef{{Name: "a"}, {Name: "b"}}
			_, err := Open(t.Context(), opts) // before it looks for a cluster
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("Open = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestFetchWithoutProgram(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	opts := Options{Executable: "/nowhere/pipe", Secrets: Secrets{source(t, "s.yaml", "a: ref+vault://secret/a\n")}, Hide: []plan.SecretRef{{Name: "a"}}}
	err := opts.FetchSecrets(t.Context())
	advice, _ := runtime.AdviceOf(err)
	if err == nil || !strings.Contains(err.Error(), "need pipe-secrets, which is neither /nowhere/pipe-secrets nor on the PATH") || !strings.Contains(advice.Do, "make secrets") {
		t.Errorf("got %v, advice %q", err, advice.Do)
	}
	opts.Hide = nil
	if err := opts.FetchSecrets(t.Context()); err != nil {
		t.Errorf("a plan without secrets needs the program: %v", err)
	}
}

// TestReferenceWithinText: a reference is the whole value, or an error: it would be deployed as it is.
func TestReferenceWithinText(t *testing.T) {
	for name, text := range map[string]string{"s.yaml": "a: postgres://u:ref+vault://secret/a#/k+@h\n", "t.yaml": "a: ref+vault://secret/a hidden\n", ".env": "A=x ref+vault://secret/a\n"} {
		if _, err := FileSecrets(file(t, name, text)); err == nil || !strings.Contains(err.Error(), "a reference must be the whole value") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestEncryptedFiles: files that are encrypted by SOPS are decrypted if a secret of them is needed.
func TestEncryptedFiles(t *testing.T) {
	const metadata = "lastmodified: \"2024-01-02T03:04:05Z\", mac: \"ENC[AES256_GCM,data:eA==,type:str]\", version: 3.9.0"
	for _, tt := range []struct{ file, text, format, plain string }{
		{"s.yaml", "mail: {user: \"ENC[AES256_GCM,data:eA==,type:str]\"}\nsops: {" + metadata + "}\n", "yaml", "mail: {user: shop}"},
		{"s.json", `{"mail": {"user": "ENC[AES256_GCM,data:eA==,type:str]"}, "sops": {` + strings.NewReplacer("lastmodified", `"lastmodified"`, "mac:", `"mac":`, "version: 3.9.0", `"version": "3.9.0"`).Replace(metadata) + `}}`, "json", `{"mail": {"user": "shop"}}`},
		{"s.env", "MAIL_USER=ENC[AES256_GCM,data:eA==,type:str]\nsops_mac=ENC[AES256_GCM,data:eA==,type:str]\nsops_lastmodified=2024-01-02T03:04:05Z\n", "dotenv", "MAIL_USER=shop"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			opts, dir := fakeManagers(t, `printf '{"version": 1, "answers": [{"value": "%s"}]}' "$(printf '%s' '`+tt.plain+`' | base64)"`)
			s := source(t, tt.file, tt.text)
			opts.Secrets, opts.Hide = Secrets{s}, []plan.SecretRef{{Name: "other"}}
			if err := opts.FetchSecrets(t.Context()); err != nil || requests(t, dir)[0] != "" {
				t.Fatalf("a file without anything that is needed: %v, requests %q", err, requests(t, dir))
			}
			opts.Hide = []plan.SecretRef{{Name: "mail", Key: "user"}}
			if err := opts.FetchSecrets(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := requests(t, dir); len(got) != 1 || !strings.Contains(got[0], `"format":"`+tt.format+`"`) {
				t.Errorf("requests %q, want one with the format %s", got, tt.format)
			}
			if got, err := opts.Secrets.Secret(t.Context(), opts.Hide[0]); err != nil || got.Reveal() != "shop" {
				t.Errorf("Secret = %q, %v", got.Reveal(), err)
			}
		})
	}
	// "sops" can also be the name of a secret.
	if s := source(t, "s.yaml", "sops: {mac: x}\n"); s.encrypted != nil {
		t.Error("a secret with the name sops is read as an encrypted file")
	}
}
