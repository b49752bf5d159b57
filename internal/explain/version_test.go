package explain_test

import (
	"os"
	"regexp"
	"testing"
)

// starlarkVersion is the version of go.starlark.net whose messages Parse, Resolve and
// Message match.
const starlarkVersion = "v0.0.0-20260908191801-89a6a09411d5"

// TestStarlarkVersion checks the version of go.starlark.net: the hints match its
// messages, which are not part of its API, so a new version must be reviewed first.
func TestStarlarkVersion(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s*go\.starlark\.net (\S+)`).FindSubmatch(mod)
	if m == nil {
		t.Fatal("go.mod does not require go.starlark.net")
	}
	if got := string(m[1]); got != starlarkVersion {
		t.Errorf(`go.mod requires go.starlark.net %s, and the hints were checked with %s.
Compare the messages of both versions: the Errorf calls in syntax/{scan,parse}.go, resolve/resolve.go and
starlark/{eval,interp,library,value}.go, with the patterns in parsehints.go, otherlanguages.go and messages.go.
Then run
	go test ./interp -run 'TestErrors|TestHabits'
	go test ./internal/bounded -run TestTables
and set starlarkVersion to the new version.`, got, starlarkVersion)
	}
}
