package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// A vaultServer serves the key-value engine, version 2, of HashiCorp Vault and OpenBao, mounted at secret/.
type vaultServer struct {
	*httptest.Server
	token string

	mu    sync.Mutex
	data  map[string]map[string]any // by path; nil: deleted
	reads map[string]int            // by path
}

func newVault(t *testing.T, data map[string]map[string]any) *vaultServer {
	t.Helper()
	v := &vaultServer{token: "hvs.a-token-of-this-test", data: data, reads: make(map[string]int)}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	for _, prefix := range []string{"VAULT", "BAO"} {
		t.Setenv(prefix+"_ADDR", v.URL)
		t.Setenv(prefix+"_TOKEN", v.token)
		t.Setenv(prefix+"_MAX_RETRIES", "0")
	}
	t.Setenv("HOME", t.TempDir())
	return v
}

func (v *vaultServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	reply := func(status int, body map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	if r.Header.Get("X-Vault-Token") != v.token {
		reply(http.StatusForbidden, map[string]any{"errors": []string{"permission denied"}})
		return
	}
	if path, ok := strings.CutPrefix(r.URL.Path, "/v1/sys/internal/ui/mounts/"); ok {
		if !strings.HasPrefix(path+"/", "secret/") {
			reply(http.StatusForbidden, map[string]any{"errors": []string{"preflight capability check returned 403"}})
			return
		}
		reply(http.StatusOK, map[string]any{"data": map[string]any{"path": "secret/", "type": "kv", "options": map[string]any{"version": "2"}}})
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/secret/data/")
	data, found := v.data[path]
	v.reads[path]++
	switch {
	case !ok || !found:
		reply(http.StatusNotFound, map[string]any{"errors": []string{}})
	case data == nil:
		reply(http.StatusNotFound, map[string]any{"data": map[string]any{"data": nil, "metadata": map[string]any{"deletion_time": "2024-01-02T03:04:05Z", "version": 1}}})
	default:
		reply(http.StatusOK, map[string]any{"data": map[string]any{"data": data, "metadata": map[string]any{"version": 1}}})
	}
}

// TestVault: values of Vault and OpenBao, and everything that a value can be instead.
func TestVault(t *testing.T) {
	for _, scheme := range []string{"vault", "openbao"} {
		t.Run(scheme, func(t *testing.T) {
			v := newVault(t, map[string]map[string]any{
				"shop": {"stripe": "sk_hidden", "port": 5432, "on": true, "none": nil, "empty": "", "inner": map[string]any{"a": "hidden"}, "list": []string{"hidden"}},
				"gone": nil,
			})
			values := map[string]string{"#/stripe": "sk_hidden", "#/port": "5432", "#/on": "true", "#/inner/a": "hidden", "/stripe": "sk_hidden"}
			errs := map[string]string{
				"secret/shop#/strip":     `there is no key "strip"; the keys are empty, inner, list, none, on, port, stripe`,
				"secret/shop#/none":      `the value of key "none" is null`,
				"secret/shop#/empty":     `the value of key "empty" is empty`,
				"secret/shop#/inner":     `the value of key "inner" is a map, with the keys a`,
				"secret/shop#/list":      `the value of key "list" is neither a string nor a number`,
				"secret/shop#/stripe/a":  `the value of key "stripe" is not a map, so it has no key "a"`,
				"secret/gone#/stripe":    `there is no key "stripe"`,
				"secret/nothing#/stripe": "no secret found",
				"other/nothing#/stripe":  "preflight capability check returned 403",
				"secret/shop/empty":      "the value is empty",
				"secret/shop":            "no secret found", // without a key, the last part of the path is the key
			}
			var asks []ask
			var want []string
			for at, value := range values {
				asks, want = append(asks, ask{Reference: "ref+" + scheme + "://secret/shop" + at}), append(want, value)
			}
			for path, text := range errs {
				asks, want = append(asks, ask{Reference: "ref+" + scheme + "://" + path}), append(want, "error: "+text)
			}
			checkAnswers(t, asks, answerAll(t, asks), want)
			// The paths that end with a key are documents of their own.
			if n := v.reads["shop"]; n > 4 {
				t.Errorf("the secret was read %d times", n)
			}

			v.token = "another"
			asks = []ask{{Reference: "ref+" + scheme + "://secret/shop#/stripe"}}
			checkAnswers(t, asks, answerAll(t, asks), []string{"error: permission denied"})
		})
	}
}

// TestCredentialsInErrors: a server or proxy that repeats a request in its error does not disclose the token.
func TestCredentialsInErrors(t *testing.T) {
	v := newVault(t, nil)
	v.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "bad gateway: "+r.Header.Get("X-Vault-Token")+strings.Repeat(" <html>", 1000), http.StatusBadRequest)
	})
	asks := []ask{{Reference: "ref+vault://secret/shop#/stripe"}}
	got := answerAll(t, asks)
	checkAnswers(t, asks, got, []string{"error: bad gateway: REDACTED"})
	if strings.Contains(got[0].Error, v.token) || len(got[0].Error) > maxError+10 {
		t.Errorf("the error is %q", got[0].Error)
	}
}
