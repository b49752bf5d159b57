package ui

import (
	"errors"
	"reflect"
	"testing"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// TestAdvice checks that an advice of the library, which names options, is shown with the
// flags of the command.
func TestAdvice(t *testing.T) {
	_, err := local.Open(t.Context(), local.Options{Dir: t.TempDir(), Home: t.TempDir(), Kubeconfig: "no-such-file", Passive: true})
	var cluster *local.UnavailableError
	if !errors.As(err, &cluster) {
		t.Fatalf("Open = %v", err)
	}
	if got, want := Advice(cluster.Advice()), "name a kubeconfig or a context of it, or use a cluster on this machine: --kubeconfig, --context, --local"; got != want {
		t.Errorf("Advice = %q, want %q", got, want)
	}
	if got := Advice(runtime.Advice{Do: "wake it"}); got != "wake it" {
		t.Errorf("Advice without options = %q", got)
	}
	for option := range flags {
		if _, ok := reflect.TypeFor[local.Options]().FieldByName(option); !ok {
			t.Errorf("local.Options has no field %s", option)
		}
	}
}
