package local

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A tagged is a registry in which each tag is one image.
type tagged struct {
	runtime.Registry
	is plan.Digest
}

func (r *tagged) Resolve(context.Context, string) (plan.Digest, error) { return r.is, nil }

// TestTrusted: a healthy image that pipe did not push is not there, and what is said
// about it says what becomes of it. A damaged note is one that is missing, which is
// told once.
func TestTrusted(t *testing.T) {
	const ref = "127.0.0.1:1/api:abc"
	pushedByPipe, foreign := plan.DigestOf([]byte("ours")), plan.DigestOf([]byte("theirs"))
	for name, damage := range map[string]func(note string) error{
		"none":        nil,
		"empty":       func(note string) error { return os.WriteFile(note, nil, 0o600) },
		"half":        func(note string) error { return os.Truncate(note, 30) },
		"garbage":     func(note string) error { return os.WriteFile(note, []byte("garbage\x00"), 0o600) },
		"a directory": func(note string) error { return errors.Join(os.Remove(note), os.Mkdir(note, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			var said []string
			r := &tagged{is: pushedByPipe}
			all := &trusted{Registry: r, prefix: "127.0.0.1:1", pushed: pushed{t.TempDir()}, notice: func(text string) { said = append(said, text) }}
			resolve := func() plan.Digest {
				t.Helper()
				digest, err := all.Resolve(t.Context(), ref)
				if err != nil && !errors.Is(err, runtime.ErrNotFound) {
					t.Fatal(err)
				}
				return digest
			}
			if err := all.pushed.note(ref, pushedByPipe); err != nil {
				t.Fatal(err)
			}
			if damage != nil {
				if err := damage(all.pushed.path(ref)); err != nil {
					t.Fatal(err)
				}
				all.passive = true
				if got := resolve(); got != pushedByPipe || len(said) > 0 {
					t.Errorf("who only looks gets %s, and is told %q", got, said)
				}
				all.passive = false
			}
			for range 2 {
				if got := resolve(); got != pushedByPipe {
					t.Errorf("what pipe has pushed is %s, want %s", got, pushedByPipe)
				}
			}
			if told := strings.Join(said, "\n"); damage == nil && told != "" || damage != nil && (len(said) != 1 || !strings.Contains(told, "noted again")) {
				t.Errorf("it is told %q", said)
			}
			r.is, said = foreign, nil
			if got := resolve(); got != "" || len(said) != 1 || !strings.HasSuffix(said[0], "is "+string(foreign)+", but pipe has pushed "+string(pushedByPipe)+"; it is built again") {
				t.Errorf("a foreign image is %q, and it is told %q", got, said)
			}
		})
	}
}
