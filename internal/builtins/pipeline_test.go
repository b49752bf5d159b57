package builtins_test

import (
	"strconv"
	"testing"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// TestDefaultParallelism: the defaults in the signature of pipeline() are those of plans.
func TestDefaultParallelism(t *testing.T) {
	f := builtins.Standard()[0]
	for _, param := range []string{"build_parallelism", "deploy_parallelism"} {
		if got, want := f.Param(param).Default, strconv.Itoa(plan.DefaultParallelism); got != want {
			t.Errorf("%s(): the default of %s is %s, want %s", f.Name, param, got, want)
		}
	}
}

func TestCheckVersion(t *testing.T) {
	for _, test := range []struct {
		constraint, version string
		ok                  bool
	}{
		{">=0.3", "", true}, {">=0.3", "unknown", true}, {">=0.3", "0.3.0", true}, {">=0.3", "v0.3.1", true}, {">=0.3", "v0.2.9", false},
		{">=0.3, <2", "v1.9.0", true}, {">=0.3, <2", "v2.0.0", false}, {"~1.2", "v1.2.9", true}, {"~1.2", "v1.3.0", false},
		{">=0.3", "v0.3.0-14-g0123abc", true}, {">=0.3", "v0.3.0-14-g0123abc-dirty", true}, {">=0.3", "0123abc", true},
		{"four", "v0.3.0", false}, {"four", "", false},
	} {
		if err := builtins.CheckVersion(test.constraint, test.version); (err == nil) != test.ok {
			t.Errorf("CheckVersion(%q, %q) = %v", test.constraint, test.version, err)
		}
	}
}
