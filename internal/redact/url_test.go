package redact_test

import (
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/internal/redact"
)

func TestURLs(t *testing.T) {
	for in, want := range map[string]string{
		"":                                                 "",
		"no address":                                       "no address",
		"https://host:80/a@b":                              "https://host:80/a@b",
		"https://[::1]:80/a@b":                             "https://[::1]:80/a@b",
		"https://me:secret@host/x":                         "https://REDACTED@host/x",
		"https://token@host/x":                             "https://REDACTED@host/x",
		"https://me:@host/x":                               "https://REDACTED@host/x",
		"https://:secret@host/x":                           "https://REDACTED@host/x",
		"https://me:sec@ret@host":                          "https://REDACTED@host",
		"https://me:sec/ret@host/x":                        "https://REDACTED@host/x",
		"https://me:sec?ret@host/x":                        "https://REDACTED@host/x",
		"https://me:sec#ret@host/x":                        "https://REDACTED@host/x",
		"https://host/x?token=secret&a=b":                  "https://host/x?REDACTED",
		"oci://me:secret@host/chart":                       "oci://REDACTED@host/chart",
		"tcp://me:secret@host:1234":                        "tcp://REDACTED@host:1234",
		"ssh://deploy@host/x":                              "ssh://deploy@host/x",
		"ssh://deploy:secret@host/x":                       "ssh://REDACTED@host/x",
		"git+https://me:secret@host/x@v1":                  "git+https://REDACTED@host/x@v1",
		"git+https://host/x@v1":                            "git+https://host/x@v1",
		"https://git@host/x":                               "https://git@host/x",
		"git@host:owner/name":                              "git@host:owner/name",
		"git@host: Permission denied (publickey).":         "git@host: Permission denied (publickey).",
		"unable to access 'https://me:secret@host/x/': no": "unable to access 'https://REDACTED@host/x/': no",
		"a https://u:p@h/1 b\n\thttps://u:p@h/2\n":         "a https://REDACTED@h/1 b\n\thttps://REDACTED@h/2\n",
		"https://u:p@h/1,https://u:p@h/2":                  "https://REDACTED@h/1,https://REDACTED@h/2",
		"proxy=https://u:p@h/https://u:p@h/2":              "proxy=https://REDACTED@h/https://REDACTED@h/2",
		"me:secret@ghcr.io/web":                            "REDACTED@ghcr.io/web",
		"me:secret@ghcr.io":                                "REDACTED@ghcr.io",
		"me:sec/ret@ghcr.io/web":                           "REDACTED@ghcr.io/web",
		"https//me:secret@host/x":                          "REDACTED@host/x",
		"ghcr.io/acme/me@x":                                "ghcr.io/acme/me@x",
		"redis:7@sha256:abc":                               "redis:7@sha256:abc",
		"ghcr.io/acme/web:1.2@sha256:abc":                  "ghcr.io/acme/web:1.2@sha256:abc",
		"localhost:5000/web@sha256:abc":                    "localhost:5000/web@sha256:abc",
		"me:secret@ghcr.io/w@sha256:abcd":                  "REDACTED@ghcr.io/w@sha256:abcd",
		`registry="me:secret@ghcr.io/x",`:                  `registry="REDACTED@ghcr.io/x",`,
		`{"a":"@std//x"}`:                                  `{"a":"@std//x"}`,
		"ghcr.io/acme/web?token=secret":                    "ghcr.io/acme/web?REDACTED",
		"ghcr.io/acme/web?":                                "ghcr.io/acme/web?",
		"ask bob@example.com":                              "ask bob@example.com",
		"Pipelinefile:3:1: what?":                          "Pipelinefile:3:1: what?",
	} {
		if got := redact.URLs(in); got != want {
			t.Errorf("URLs(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCredentials(t *testing.T) {
	for _, yes := range []string{
		"https://me:secret@host/x", "https://token@host/x", "https://:secret@host", "https://me:sec/ret@host/x", "oci://me:secret@host/chart",
		"tcp://me:secret@host:1234", "ssh://git:secret@host/x", "git:secret@host:x", "me:secret@ghcr.io", "token@ghcr.io/acme", "token@ghcr.io", "token@127.0.0.1:5000", "token@host:5000/acme", "token@localhost/x", "me:secret@ghcr.io/w@sha256:abc",
	} {
		if got := redact.Credentials(yes); got != "a user or a password" {
			t.Errorf("Credentials(%q) = %q", yes, got)
		}
		if got := redact.URLs(yes); strings.Contains(got, "secret") || strings.Contains(got, "sec/ret") {
			t.Errorf("URLs(%q) = %q", yes, got)
		}
	}
	for _, query := range []string{
		"https://host/x?token=secret", "https://host/x?a=b&sig=secret", "https://host?secret", "https://git@host/x?private_token=secret", "oci://host/x?token=secret",
		"ghcr.io/acme/web?token=secret", "git@host:owner/name?token=secret", "ssh://git@host/x?token=secret", "kube-pod://name?namespace=ci&token=secret",
	} {
		if got := redact.Credentials(query); got != "a query that may hold a token" {
			t.Errorf("Credentials(%q) = %q", query, got)
		}
		if got := redact.Source(`f("` + query + `", b = 1)`); strings.Contains(got, "secret") || !strings.HasSuffix(got, `x", b = 1)`) {
			t.Errorf("Source(%q) = %q", query, got)
		}
	}
	for _, no := range []string{
		"kube-pod://name?namespace=ci&context=dev", "docker-container://buildkitd?context=dev", "https://host/x?", "what?",
		"", "https://host/x", "https://host:80/a@b", "https://[::1]:80/a@b", "https://git@host/x", "ssh://deploy@host/x", "git@host:owner/name", "deploy@host:x",
		"redis:7", "redis@v1", "redis@v1.2", "redis@sha256", "redis@md5:abc", "redis:7@sha256:abc", "ghcr.io/acme/web@sha256:abc", "127.0.0.1:5000/acme", "unix:///run/buildkit.sock", "docker-container://buildkitd",
	} {
		if got := redact.Credentials(no); got != "" {
			t.Errorf("Credentials(%q) = %q", no, got)
		}
	}
}

func TestSource(t *testing.T) {
	for in, want := range map[string]string{
		"x = 1\n": "x = 1\n",
		"chart(\"a\", repo = \"https://u:pässword@h/x\")\nb\n": "chart(\"a\", repo = \"https://xxxxxxxxxx@h/x\")\nb\n",
		"http(\"https://h/x?a=b\")\n":                          "http(\"https://h/x?a=x\")\n",
		"f(\"https://h/x?a=bc&sig=d\", 'https://h?e=f')":       "f(\"https://h/x?a=xx&sig=x\", 'https://h?e=x')",
		"registry=\"ghcr.io/x?token=abc\")":                    "registry=\"ghcr.io/x?token=xxx\")",
		"x = 1 if a else b # what?":                            "x = 1 if a else b # what?",
	} {
		if got := redact.Source(in); got != want {
			t.Errorf("Source(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzURLs(f *testing.F) {
	f.Add("https://", "host/x")
	f.Add("a b://", "host")
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "hunter2hunter2"
		if strings.ContainsAny(before, " \t\n@") { // an address cannot contain these
			return
		}
		if got := redact.URLs("https://me:" + secret + "@host/" + after); strings.Contains(got, secret) && !strings.Contains(after, secret) {
			t.Errorf("URLs = %q", got)
		}
		if got := redact.URLs(redact.URLs(before + after)); got != redact.URLs(before+after) {
			t.Errorf("URLs is not stable: %q", got)
		}
	})
}
