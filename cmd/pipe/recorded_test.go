package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// TestRecordedParams: a required parameter without a given value gets the value in the
// environment's last plan; if there is none, the error names the parameter as usual.
func TestRecordedParams(t *testing.T) {
	const file = `
pipeline("shop")
title = param("title")
size = param("size", type = "int", default = 1)
if title == "Books":
    owner = param("owner")
else:
    owner = "nobody"
container("api", image = "redis:7", mirror = False, env = {"TITLE": title, "OWNER": owner, "SIZE": str(size)})
`
	b := newBench(t, file)
	b.world.Registry.Upstream("redis:7", "sha256:0000000000000000000000000000000000000000000000000000000000000001")
	const missing = "Pipelinefile:3:9: the parameter title needs a value"
	for _, verb := range []string{"run", "plan", "diff"} {
		b.again(verb, "--env", "staging", "--progress", "quiet")
		b.run(t, statusFile)
		if !strings.Contains(b.stderr.String(), missing) {
			t.Errorf("pipe %s:\n%s", verb, b.stderr.String())
		}
	}
	b.again("run", "--env", "staging", "--set", "title=Books", "--set", "owner=ana", "--set", "size=3", "--progress", "quiet")
	b.run(t, statusDone)

	b.again("plan", "--env", "staging")
	b.run(t, statusDone)
	for _, want := range []string{
		`  title = "Books", as the environment has it  (Pipelinefile:3:9)`,
		`  size = "1", the default  (Pipelinefile:4:8)`,
		`  owner = "ana", as the environment has it  (Pipelinefile:6:13)`,
	} {
		if !strings.Contains(b.stdout.String(), want+"\n") {
			t.Errorf("no %q in\n%s", want, b.stdout.String())
		}
	}
	for _, tt := range []struct{ set, note, title string }{
		{"", ` 0:00  as environment staging has it: title = "Books", owner = "ana"`, "Books"},
		{"owner=ben", ` 0:00  as environment staging has it: title = "Books"`, "Books"},
		{"title=Toys", "", "Toys"},
		{"", ` 0:00  as environment staging has it: title = "Toys"`, "Toys"},
	} {
		b.again("run", "--env", "staging", "--progress", "plain")
		if tt.set != "" {
			b.args = append(b.args, "--set", tt.set)
		}
		b.run(t, statusDone)
		first, _, _ := strings.Cut(b.stderr.String(), "\n")
		if first != tt.note && (tt.note != "" || strings.Contains(b.stderr.String(), "has it")) {
			t.Errorf("run %s begins with %q, want %q", tt.set, first, tt.note)
		}
		env, err := b.world.Store.Environment(t.Context(), runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"})
		if err != nil || env.Params()["title"] != tt.title {
			t.Errorf("run %s deploys %v, %v", tt.set, env.Params(), err)
		}
	}
	// Parameters that it does not have are still missing, and all are if it cannot be read.
	b.again("plan", "--env", "staging", "--set", "title=Books")
	b.run(t, statusFile)
	if !strings.Contains(b.stderr.String(), "the parameter owner needs a value") {
		t.Errorf("stderr:\n%s", b.stderr.String())
	}
	b.again("plan", "--env", "staging")
	b.cluster = func(context.Context, local.Options) (*local.Cluster, error) { return nil, errors.New("it sleeps") }
	b.run(t, statusFile)
	if !strings.Contains(b.stderr.String(), missing) {
		t.Errorf("stderr:\n%s", b.stderr.String())
	}
}
