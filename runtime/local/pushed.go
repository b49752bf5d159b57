package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pipelinefile/pipe/internal/atomicfile"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// pushed records which digest was pushed to the embedded registry for an identity,
// each in a file of a directory that only the user can write. If the tag of an
// identity has a different digest, the image was not built from that identity.
type pushed struct{ dir string }

func (p pushed) path(ref string) string {
	_, rest, _ := strings.Cut(ref, "/") // the address may change
	return filepath.Join(p.dir, strings.TrimPrefix(string(plan.DigestOf([]byte(rest))), "sha256:"))
}

// digest returns what was noted of ref; "" if nothing was. A note that cannot be read is
// damaged.
func (p pushed) digest(ref string) (noted plan.Digest, damaged bool) {
	data, err := os.ReadFile(p.path(ref))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	digest := strings.TrimSpace(string(data))
	if hex, ok := strings.CutPrefix(digest, "sha256:"); err != nil || !ok || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return "", true
	}
	return plan.Digest(digest), false
}

// note records the digest that was pushed to ref. The write is atomic.
func (p pushed) note(ref string, digest plan.Digest) error {
	return atomicfile.Write(p.path(ref), []byte(string(digest)+"\n"), 0o600)
}

// A trusted registry is the embedded one, in which an image that pipe did not push
// under the tag of an identity counts as not there, so that it is built again. What
// an older pipe has pushed is noted when it is seen first, and so is an image whose
// note is damaged.
type trusted struct {
	runtime.Registry
	prefix  string // host and port
	dir     string // of the registry
	pushed  pushed
	passive bool // record nothing
	notice  func(string)
}

// Resolve implements [runtime.Registry].
func (t *trusted) Resolve(ctx context.Context, ref string) (plan.Digest, error) {
	digest, err := t.Registry.Resolve(ctx, ref)
	if err != nil || !strings.HasPrefix(ref, t.prefix+"/") || strings.Contains(ref, "@") {
		return digest, err
	}
	want, damaged := t.pushed.digest(ref)
	switch {
	case want == "" && t.passive:
		return digest, nil
	case want == "":
		if damaged {
			t.notice(fmt.Sprintf("embedded registry: the note of what pipe has pushed as %s was damaged, as by a full disk or a power cut: it is taken as it is now, %s, and noted again", ref, digest))
		}
		return digest, t.pushed.note(ref, digest)
	case want == digest:
		return digest, nil
	}
	t.notice(fmt.Sprintf("embedded registry: %s is %s, but pipe has pushed %s; it is built again", ref, digest, want))
	return "", fmt.Errorf("%s is not the image that pipe has pushed: %w", ref, runtime.ErrNotFound)
}
