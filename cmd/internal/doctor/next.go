package doctor

import (
	"strings"

	"github.com/pipelinefile/pipe/runtime/local"
)

// flags are how a user of the command says what a field of local.Options says.
var flags = map[string]string{
	"Kubeconfig": "--kubeconfig", "Context": "--context", "Local": "--local", "BuildKit": "--buildkit, BUILDKIT_HOST", "BuildKitTLS": "--buildkit-tls",
	"Registry": "--registry, registry= of pipeline()", "Home": "PIPE_HOME",
}

// Next returns what to do about a part that cannot be used, with the flags that
// choose another one.
func Next(e *local.UnavailableError) string {
	var ways []string
	for _, option := range e.Options {
		ways = append(ways, flags[option])
	}
	if len(ways) == 0 {
		return e.Next
	}
	return e.Next + ": " + strings.Join(ways, ", ")
}
