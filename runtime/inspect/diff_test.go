package inspect

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

func TestLines(t *testing.T) {
	var long []string
	for i := range 30 {
		long = append(long, fmt.Sprint("line ", i))
	}
	changed := append([]string(nil), long...)
	changed[10], changed[25] = "another", "last"
	text := func(l []string) string { return strings.Join(l, "\n") + "\n" }
	tests := map[string]struct{ before, after, want string }{
		"same":    {"a\nb\n", "a\nb\n", ""},
		"new":     {"", "a\nb\n", "+a\n+b\n"},
		"gone":    {"a\nb\n", "", "-a\n-b\n"},
		"changed": {"a\nb\nc\n", "a\nx\nc\n", " a\n-b\n+x\n c\n"},
		"added":   {"a\nc\n", "a\nb\nc\n", " a\n+b\n c\n"},
		"moved":   {"a\nb\nc\n", "c\na\nb\n", "+c\n a\n b\n-c\n"},
		"places": {text(long), text(changed),
			"@@\n line 7\n line 8\n line 9\n-line 10\n+another\n line 11\n line 12\n line 13\n" +
				"@@\n line 22\n line 23\n line 24\n-line 25\n+last\n line 26\n line 27\n line 28\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Lines(tt.before, tt.after)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRedactedDiff: redacted values are in no line.
func TestRedactedDiff(t *testing.T) {
	got := objectDiffs([]Change{
		{Kind: "ConfigMap", Name: "c", Before: "a: 1\n", After: "a: sw0rdfish\n"},
		{Kind: "ConfigMap", Name: "d", After: "b: 1\n"}, {Kind: "ConfigMap", Name: "e", Before: "b: 1\n"},
		{Kind: "ConfigMap", Name: "f", After: "b: 1\n"},
	}, []runtime.Adoption{{ObjectKind: "ConfigMap", Name: "f", Diff: "-c: sw0rdfish\n"}}, func(s string) string { return strings.ReplaceAll(s, "sw0rdfish", "REDACTED") })
	want := []ObjectDiff{
		{Kind: "ConfigMap", Name: "f", Do: "adopt", Diff: "-c: REDACTED\n"},
		{Kind: "ConfigMap", Name: "c", Do: "change", Diff: "-a: 1\n+a: REDACTED\n"},
		{Kind: "ConfigMap", Name: "d", Do: "create", Diff: "+b: 1\n"}, {Kind: "ConfigMap", Name: "e", Do: "delete", Diff: "-b: 1\n"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDiffOf: a deployed service and a pruned release are compared once each, and an
// unchanged one is not compared.
func TestDiffOf(t *testing.T) {
	p := &plan.Plan{Services: []plan.Service{{Name: "api", Type: "APPLICATION", Stage: "one"}, {Name: "web", Stage: "one"}, {Name: "operator", Stage: "one", Namespace: "operators"}}}
	steps := []runtime.Step{
		{Stage: "one", Service: "api", Do: runtime.Deploying, Ref: "registry/api@sha256:1", Why: "changed"},
		{Stage: "one", Service: "web", Do: runtime.Unchanged},
		{Stage: "one", Service: "operator", Namespace: "operators", Do: runtime.Deploying},
		{Service: "old", Do: runtime.Deleting, Why: "the plan has no such service any more"},
		{Service: "operator", Do: runtime.Deleting, Why: "the service is in namespace operators now"},
	}
	var asked []string
	got, err := DiffOf(t.Context(), func(_ context.Context, r runtime.Release, gone bool) ([]Change, error) {
		asked = append(asked, fmt.Sprintf("%s %s %s %s %v", r.Namespace, r.Service.Name, r.Service.Type, r.Image, gone))
		if gone {
			return []Change{{Kind: "Service", Name: r.Service.Name, Before: "a: 1\n"}}, nil
		}
		return []Change{{Kind: "Service", Name: r.Service.Name, Before: "a: 1\n", After: "a: 2\n"}}, nil
	}, runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"}, p, steps, strings.ToLower)
	if err != nil {
		t.Fatal(err)
	}
	want := Diff{Version: Version, Pipeline: "shop", Environment: "staging", Namespace: "shop-staging", Services: []ServiceDiff{
		{Service: "api", Stage: "one", Do: runtime.Deploying, Why: "changed", Objects: []ObjectDiff{{Kind: "Service", Name: "api", Do: "change", Diff: "-a: 1\n+a: 2\n"}}},
		{Service: "web", Stage: "one", Do: runtime.Unchanged},
		{Service: "operator", Namespace: "operators", Stage: "one", Do: runtime.Deploying, Objects: []ObjectDiff{{Kind: "Service", Name: "operator", Do: "change", Diff: "-a: 1\n+a: 2\n"}}},
		{Service: "old", Do: runtime.Deleting, Why: "the plan has no such service any more", Objects: []ObjectDiff{{Kind: "Service", Name: "old", Do: "delete", Diff: "-a: 1\n"}}},
		{Service: "operator", Do: runtime.Deleting, Why: "the service is in namespace operators now", Objects: []ObjectDiff{{Kind: "Service", Name: "operator", Do: "delete", Diff: "-a: 1\n"}}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"shop-staging api APPLICATION registry/api@sha256:1 false", "operators operator   false", "shop-staging old   true", "shop-staging operator   true"}, asked); diff != "" {
		t.Errorf("compared (-want +got):\n%s", diff)
	}
}
