package registry

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/internal/filelock"
	"github.com/pipelinefile/pipe/runtime"
)

// A claim is an empty image beside the one that is built, at the tag of that image with a
// suffix. Its annotations name the user and contain a random word for each claim and a
// number that grows with each renewal, because registries do not agree on a clock: a claim
// whose number has not grown for a while, by the clock of who watches it, has expired.
//
// A registry cannot compare and set, so two processes that find no claim may both write one.
// The last write counts: each reads the claim again before each renewal, the first time
// after a moment, and whose claim was overwritten stops its build.
const (
	claimSuffix = ".claim"

	claimBy       = "io.github.pipelinefile.claim.by"
	claimWord     = "io.github.pipelinefile.claim.word"
	claimNumber   = "io.github.pipelinefile.claim.number"
	claimReleased = "io.github.pipelinefile.claim.released"

	// claimTime is how long a claim is valid that is not renewed. Tests wait less for those
	// of dead processes.
	claimTime = 10 * time.Second
	// claimRenewal is the interval of renewals.
	claimRenewal = 2 * time.Second
	// claimDoubt is when a new claim is read for the first time: later than another process
	// that found no claim needs to write its own.
	claimDoubt = 500 * time.Millisecond
)

// A sighting is the claim of another process as it was when it last changed.
type sighting struct {
	word, number string
	at           time.Time
}

// A claim is a claim of this process.
type claim struct {
	registry *Registry
	tag      name.Tag
	pusher   *remote.Pusher
	by, word string
	lost     chan struct{}
	stop     context.CancelFunc
	ended    chan struct{} // closed when it is no longer renewed
}

// granted is a claim in a registry that keeps none.
type granted struct{}

func (granted) Lost() <-chan struct{}   { return nil }
func (granted) Release(context.Context) {}

// Claim implements [runtime.Registry].
func (r *Registry) Claim(ctx context.Context, ref, by string, always bool) (runtime.Claim, error) {
	image, err := r.parse(ref)
	switch {
	case err != nil:
		return nil, err
	case r.shared || always:
		return r.claim(ctx, image, by)
	case r.locks != "":
		return r.lock(image, by)
	}
	return granted{}, nil
}

// A fileClaim is a claim in a registry to which only builders of this machine push (I2): a lock of
// a file, which ends with the process. A file beside it names who has the claim.
type fileClaim struct {
	path   string
	unlock func()
}

const lockedBy = ".by" // what the name of the file beside it ends with

// lock claims a build by a lock of this machine.
func (r *Registry) lock(image name.Reference, by string) (runtime.Claim, error) {
	sum := sha256.Sum256([]byte(image.Name()))
	c := &fileClaim{path: filepath.Join(r.locks, hex.EncodeToString(sum[:16]))}
	var err error
	if c.unlock, err = filelock.TryTemp(c.path); err != nil {
		return nil, err
	}
	if c.unlock == nil {
		// It may not be written yet, or be removed already.
		holder, _ := os.ReadFile(c.path + lockedBy)
		return nil, &runtime.ClaimedError{
			Ref: show(image), By: cmp.Or(string(holder), "another process"),
			Wait: func(ctx context.Context) error { return filelock.Await(ctx, c.path) },
		}
	}
	_ = os.WriteFile(c.path+lockedBy, []byte(by), 0o600) // without it, the name is not shown
	return c, nil
}

// Lost implements [runtime.Claim].
func (c *fileClaim) Lost() <-chan struct{} { return nil }

// Release implements [runtime.Claim].
func (c *fileClaim) Release(context.Context) {
	_ = os.Remove(c.path + lockedBy)
	c.unlock()
}

// claim is Claim for a registry that may have one builder only.
func (r *Registry) claim(ctx context.Context, image name.Reference, by string) (runtime.Claim, error) {
	tag := image.Context().Tag(image.Identifier() + claimSuffix)
	found, err := r.readClaim(ctx, tag)
	if err != nil {
		return nil, r.explain(ctx, tag, err)
	}
	if found != nil && r.claimed(tag, found) {
		return nil, &runtime.ClaimedError{Ref: show(image), By: found[claimBy]}
	}
	pusher, err := remote.NewPusher(r.options()...)
	if err != nil {
		return nil, err
	}
	c := &claim{registry: r, tag: tag, pusher: pusher, by: by, word: rand.Text(), lost: make(chan struct{}), ended: make(chan struct{})}
	if err := c.write(ctx, 1); err != nil {
		return nil, r.explain(ctx, tag, err)
	}
	renewed, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	go c.renew(renewed)
	return c, nil
}

// claimed reports whether a claim that was found is valid: whether it is new to this process,
// or was renewed recently enough.
func (r *Registry) claimed(tag name.Tag, found map[string]string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if found[claimReleased] != "" {
		delete(r.sightings, tag)
		return false
	}
	before, seen := r.sightings[tag]
	if !seen || before.word != found[claimWord] || before.number != found[claimNumber] {
		r.sightings[tag] = sighting{found[claimWord], found[claimNumber], time.Now()}
		return true
	}
	return time.Since(before.at) < r.claimTime
}

// readClaim returns the annotations of a claim, or nil if there is none.
func (r *Registry) readClaim(ctx context.Context, tag name.Tag) (annotations map[string]string, err error) {
	annotations, err = r.readAnnotated(ctx, tag)
	if err == nil && annotations != nil && annotations[claimWord] == "" {
		err = fmt.Errorf("%s is not a claim of pipe", show(tag))
	}
	return annotations, err
}

// write writes the claim; number 0 releases it.
func (c *claim) write(ctx context.Context, number int) error {
	annotations := map[string]string{claimBy: c.by, claimWord: c.word, claimNumber: strconv.Itoa(number)}
	if number == 0 {
		annotations[claimReleased] = "true"
	}
	return c.registry.putAnnotated(ctx, c.tag, annotations)
}

// renew renews the claim until its context ends or another process has it. A registry that
// cannot be reached is asked again at the next renewal.
func (c *claim) renew(ctx context.Context) {
	defer close(c.ended)
	wait := claimDoubt
	for number := 2; ; number++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = claimRenewal
		found, err := c.registry.readClaim(ctx, c.tag)
		if err != nil {
			continue
		}
		if found != nil && found[claimWord] != c.word {
			close(c.lost)
			return
		}
		_ = c.write(ctx, number)
	}
}

// Lost implements [runtime.Claim].
func (c *claim) Lost() <-chan struct{} { return c.lost }

// Release implements [runtime.Claim]. The tag is deleted; in a registry that does not delete
// tags, the claim says that it is released.
func (c *claim) Release(ctx context.Context) {
	c.stop()
	<-c.ended
	select {
	case <-c.lost:
		return
	default:
	}
	if found, err := c.registry.readClaim(ctx, c.tag); err != nil || found == nil || found[claimWord] != c.word {
		return
	}
	if err := c.pusher.Delete(ctx, c.tag); err != nil {
		_ = c.write(ctx, 0)
	}
}

var (
	_ runtime.Claim = (*claim)(nil)
	_ runtime.Claim = (*fileClaim)(nil)
	_ runtime.Claim = granted{}
)
