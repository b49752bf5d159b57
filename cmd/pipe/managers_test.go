package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestManagers runs the scripts in testdata/managers: those that need the separate programs bin/pipe-secrets,
// bin/pipe-sigstore and bin/pipe-sbom-linux-ARCH. In addition to the commands of TestServers there are
//
//	vault start                serves the key-value engine of HashiCorp Vault, version 2; sets VAULT_ADDR and VAULT_TOKEN
//	vault put PATH KEY=VALUE…  replaces a secret; without a key, deletes it
//	vault reads PATH N         the secret was read N times since it was replaced
//	sigstore start             serves an instance of Sigstore; sets SIGSTORE, and writes its trusted root and signing config
func TestManagers(t *testing.T) {
	for program, target := range map[string]string{"pipe-secrets": "secrets", "pipe-sigstore": "sigstore", "sigstore-trial": "sigstore", "pipe-sbom-linux-" + goruntime.GOARCH: "sbom"} {
		if _, err := os.Stat("../../bin/" + program); err != nil {
			missing(t, target, fmt.Errorf("%w; build it with: make %s", err, target))
		}
	}
	runServers(t, "testdata/managers", serversHome(t, "simulated"))
}

// scriptSigstore is the command sigstore.
func scriptSigstore(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || args[0] != "start" {
		ts.Fatalf("usage: sigstore start")
	}
	trial := exec.Command(filepath.Join(ts.Getenv("BIN"), "sigstore-trial"), ts.MkAbs(".")) // it ends with its standard input
	stdin, err := trial.StdinPipe()
	ts.Check(err)
	stdout, err := trial.StdoutPipe()
	ts.Check(err)
	ts.Check(trial.Start())
	ts.Defer(func() {
		stdin.Close()
		ts.Check(trial.Wait())
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	ts.Check(err)
	ts.Setenv("SIGSTORE", strings.TrimSpace(address))
}

// A vaultServer serves the requests that a client needs to read secrets of the engine mounted at secret/.
type vaultServer struct {
	mu      sync.Mutex
	secrets map[string]map[string]string // by path
	reads   map[string]int
}

const vaultToken = "hvs.token-of-this-test"

func (v *vaultServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	path, isSecret := strings.CutPrefix(r.URL.Path, "/v1/secret/data/")
	secret, found := v.secrets[path]
	status, body := http.StatusOK, map[string]any{}
	switch {
	case r.Header.Get("X-Vault-Token") != vaultToken:
		status, body["errors"] = http.StatusForbidden, []string{"permission denied"}
	case strings.HasPrefix(r.URL.Path, "/v1/sys/internal/ui/mounts/secret/"):
		body["data"] = map[string]any{"path": "secret/", "type": "kv", "options": map[string]string{"version": "2"}}
	case !isSecret || !found:
		status, body["errors"] = http.StatusNotFound, []string{}
	default:
		v.reads[path]++
		body["data"] = map[string]any{"data": secret, "metadata": map[string]any{"version": 1}}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// scriptVault returns the command vault, for the scripts that run concurrently.
func scriptVault() func(*testscript.TestScript, bool, []string) {
	var mu sync.Mutex
	servers := make(map[string]*vaultServer) // by address
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 1 || args[0] != "start" && len(args) < 2 {
			ts.Fatalf("usage: vault start | put PATH KEY=VALUE… | reads PATH N")
		}
		mu.Lock()
		defer mu.Unlock()
		if args[0] == "start" {
			v := &vaultServer{secrets: make(map[string]map[string]string), reads: make(map[string]int)}
			server := httptest.NewServer(v)
			ts.Defer(server.Close)
			ts.Setenv("VAULT_ADDR", server.URL)
			ts.Setenv("VAULT_TOKEN", vaultToken)
			servers[server.URL] = v
			return
		}
		v, path := servers[ts.Getenv("VAULT_ADDR")], args[1]
		v.mu.Lock()
		defer v.mu.Unlock()
		if args[0] == "reads" {
			if got := strconv.Itoa(v.reads[path]); got != args[2] {
				ts.Fatalf("secret %s was read %s times, want %s", path, got, args[2])
			}
			return
		}
		v.reads[path] = 0
		delete(v.secrets, path)
		for _, kv := range args[2:] {
			key, value, _ := strings.Cut(kv, "=")
			if v.secrets[path] == nil {
				v.secrets[path] = make(map[string]string)
			}
			v.secrets[path][key] = value
		}
	}
}
