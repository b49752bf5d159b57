package view

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/runtime/deploy"
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
			if diff := cmp.Diff(tt.want, lines(tt.before, tt.after)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRedactedDiff: what redact takes out is in no line.
func TestRedactedDiff(t *testing.T) {
	got := objectDiffs([]deploy.Change{
		{Kind: "ConfigMap", Name: "c", Before: "a: 1\n", After: "a: sw0rdfish\n"},
		{Kind: "ConfigMap", Name: "d", After: "b: 1\n"}, {Kind: "ConfigMap", Name: "e", Before: "b: 1\n"},
	}, func(s string) string { return strings.ReplaceAll(s, "sw0rdfish", "REDACTED") })
	want := []ObjectDiff{
		{Kind: "ConfigMap", Name: "c", Do: "change", Diff: "-a: 1\n+a: REDACTED\n"},
		{Kind: "ConfigMap", Name: "d", Do: "create", Diff: "+b: 1\n"}, {Kind: "ConfigMap", Name: "e", Do: "delete", Diff: "-b: 1\n"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
