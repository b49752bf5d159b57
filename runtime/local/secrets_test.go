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

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func source(t *testing.T, name, text string) *Source {
	t.Helper()
	s, err := FileSecrets(file(t, name, text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSecrets: what is found where (D4).
func TestSecrets(t *testing.T) {
	yaml := source(t, "s.yaml", "token: t0ken\nnumber: 42\nflag: true\ndb: {url: u, password: p}\none: {only: o}\n"+
		"digits: 0123\nversion: 1.10\nlarge: 123456789012345678901234567890\nno: no\nday: 2024-01-02\nhex: 0x1F\nquoted: \"1e3\"\nempty: \"\"\nkeys: {pin: 007}\nbase: &base abc\nsame: *base\n")
	dotenv := source(t, ".env", "# comment\nAPI_KEY=plain value\nexport QUOTED=\"a\\nb\"\nSINGLE='it is $HOME'\nDB_URL=u2\n")
	env := EnvSecrets("APP_", []string{"APP_API_KEY=e", "API_KEY=other", "APP_EMPTY="})
	tests := []struct {
		name string
		from Secrets
		ref  plan.SecretRef
		want string
	}{
		{"value", Secrets{yaml}, plan.SecretRef{Name: "token"}, "t0ken"},
		{"number", Secrets{yaml}, plan.SecretRef{Name: "number"}, "42"},
		{"leading zero", Secrets{yaml}, plan.SecretRef{Name: "digits"}, "0123"},
		{"trailing zero", Secrets{yaml}, plan.SecretRef{Name: "version"}, "1.10"},
		{"large number", Secrets{yaml}, plan.SecretRef{Name: "large"}, "123456789012345678901234567890"},
		{"word", Secrets{yaml}, plan.SecretRef{Name: "no"}, "no"},
		{"day", Secrets{yaml}, plan.SecretRef{Name: "day"}, "2024-01-02"},
		{"hexadecimal", Secrets{yaml}, plan.SecretRef{Name: "hex"}, "0x1F"},
		{"in quotes", Secrets{yaml}, plan.SecretRef{Name: "quoted"}, "1e3"},
		{"empty", Secrets{yaml}, plan.SecretRef{Name: "empty"}, ""},
		{"number of a key", Secrets{yaml}, plan.SecretRef{Name: "keys", Key: "pin"}, "007"},
		{"alias", Secrets{yaml}, plan.SecretRef{Name: "same"}, "abc"},
		{"bool", Secrets{yaml}, plan.SecretRef{Name: "flag"}, "true"},
		{"key", Secrets{yaml}, plan.SecretRef{Name: "db", Key: "url"}, "u"},
		{"only key", Secrets{yaml}, plan.SecretRef{Name: "one"}, "o"},
		{"dotenv", Secrets{dotenv}, plan.SecretRef{Name: "api-key"}, "plain value"},
		{"dotenv, double quotes", Secrets{dotenv}, plan.SecretRef{Name: "quoted"}, "a\nb"},
		{"dotenv, single quotes", Secrets{dotenv}, plan.SecretRef{Name: "SINGLE"}, "it is $HOME"},
		{"dotenv, key", Secrets{dotenv}, plan.SecretRef{Name: "db", Key: "url"}, "u2"},
		{"variable", Secrets{env}, plan.SecretRef{Name: "api-key"}, "e"},
		{"empty variable", Secrets{env}, plan.SecretRef{Name: "empty"}, ""},
		{"first wins", Secrets{env, dotenv}, plan.SecretRef{Name: "api-key"}, "e"},
		{"second has it", Secrets{env, dotenv}, plan.SecretRef{Name: "single"}, "it is $HOME"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.from.Secret(t.Context(), tt.ref)
			if err != nil || got.Reveal() != tt.want {
				t.Errorf("Secret(%+v) = %q, %v; want %q", tt.ref, got.Reveal(), err, tt.want)
			}
		})
	}
}

func TestSecretsErrors(t *testing.T) {
	s := Secrets{source(t, "s.yaml", "db: {url: hidden1, password: hidden2}\n"), EnvSecrets("APP_", nil)}
	for ref, want := range map[plan.SecretRef]string{
		{Name: "nothing"}:            "secret nothing: not found in ",
		{Name: "nothing", Key: "k"}:  "secret nothing/k: not found in ",
		{Name: "db"}:                 `has several keys (password, url): name one with secret("db", key=…)`,
		{Name: "db", Key: "pasword"}: `has no key "pasword"; it has password, url`,
	} {
		_, err := s.Secret(t.Context(), ref)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("Secret(%+v): %v, want %q", ref, err, want)
		}
		if ref.Name == "nothing" != errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("Secret(%+v): %v is or is not ErrNotFound", ref, err)
		}
	}
}

// TestSecretFiles: a file that is wrong is told without what is in it.
func TestSecretFiles(t *testing.T) {
	for name, tt := range map[string]struct{ file, text, want string }{
		"no YAML":      {"s.yaml", "a: [hidden", "it is not valid YAML"},
		"twice":        {"s.yaml", "a: hidden\na: hidden\n", "duplicate name"},
		"null":         {"s.yaml", "a:\n", "secret a must be a value, or a map"},
		"null in it":   {"s.yaml", "a: {b: ~}\n", "key b of secret a must be a value"},
		"a list":       {"s.yaml", "- hidden", "it must contain a map"},
		"too deep":     {"s.yaml", "a: {b: {c: hidden}}", "key b of secret a must be a value"},
		"list in it":   {"s.json", `{"a": ["hidden"]}`, "secret a must be a value, or a map"},
		"no equals":    {".env", "A=1\nhidden\n", "line 2 is not NAME=value"},
		"open quote":   {".env", `A="hidden`, "line 1: the quotes do not match"},
		"single quote": {".env", `A='`, "line 1: the quotes do not match"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := FileSecrets(file(t, tt.file, tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := FileSecrets("/nowhere/s.env"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want one that is os.ErrNotExist", err)
	}
}

// TestFormatByContent: what has no ending, as a pipe, is YAML, JSON or lines by what it says.
func TestFormatByContent(t *testing.T) {
	for _, tt := range []struct{ text, name, key, want string }{
		{"# a comment\n---\na: \"x=y\"\n", "a", "", "x=y"},
		{"db:\n  url: postgres://u@h/d?a=b\n", "db", "url", "postgres://u@h/d?a=b"},
		{`{"a": "x"}`, "a", "", "x"},
		{"\n# b: c\nexport DB_URL=postgres://u@h\n", "db-url", "", "postgres://u@h"},
		{"A='b: c'\n", "a", "", "b: c"},
	} {
		s, err := ReadSecrets("standard input", []byte(tt.text))
		if err != nil {
			t.Errorf("ReadSecrets(%q): %v", tt.text, err)
			continue
		}
		fromFile, err := FileSecrets(file(t, "stdin", tt.text))
		if err != nil {
			t.Fatal(err)
		}
		for _, from := range []*Source{s, fromFile} {
			got, err := (Secrets{from}).Secret(t.Context(), plan.SecretRef{Name: tt.name, Key: tt.key})
			if err != nil || got.Reveal() != tt.want {
				t.Errorf("of %q: %q, %v, want %q", tt.text, got.Reveal(), err, tt.want)
			}
		}
	}
	if _, err := ReadSecrets("standard input", []byte("hidden\n")); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("ReadSecrets = %v, want an error without the line", err)
	}
}
