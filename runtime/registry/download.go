package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// worthwhile is how much of a blob must be transferred between two interruptions for them to
// count as separate failures.
const worthwhile = 1 << 20

// A download reads a blob of another registry, from an offset to the end. When the connection
// ends, it continues where it was. It fails with an *upstreamError.
//
// It is the body of a request, which a transport may go on reading, and then closes, after it
// has returned an answer that came early. So what it has read is safe only after end.
type download struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	registry *Registry
	emit     runtime.Emit
	what     string // is being done, for events
	from     name.Digest
	size     int64
	progress func(at int64)

	mu    sync.Mutex // over the rest
	at    int64
	hash  hash.Hash // nil: it did not begin at 0
	body  io.ReadCloser
	waits *retry.Waits
	whole bool  // the registry cannot begin in the middle
	cut   bool  // it was interrupted
	cuts  int   // since something worthwhile was read
	cutAt int64 // the offset of the last one
	err   error
}

// download returns a reader of a blob from an offset.
func (c *copier) download(ctx context.Context, what string, desc v1.Descriptor, at int64) *download {
	ctx, cancel := context.WithCancelCause(ctx)
	d := &download{
		ctx: ctx, cancel: cancel, registry: c.registry, emit: c.emit, what: what, from: c.from.Digest(desc.Digest.String()), size: desc.Size, at: at, cutAt: at,
		progress: func(at int64) { c.transfer.set(desc.Digest, at) },
	}
	if at == 0 && desc.Digest.Algorithm == "sha256" {
		d.hash = sha256.New()
	}
	return d
}

// Read implements [io.Reader]. The last bytes are returned only if the content is what the
// digest says, so that no one receives all of another content.
func (d *download) Read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.read(p)
	if err != nil && errors.Is(context.Cause(d.ctx), errClosed) {
		return 0, errClosed
	}
	if err != nil && !errors.Is(err, io.EOF) {
		n, err = 0, &upstreamError{ref: d.from, err: err, final: !isMixed(err)}
	}
	d.err = err
	return n, err
}

func (d *download) read(p []byte) (int, error) {
	for d.at < d.size {
		if d.body == nil {
			if err := d.open(); err != nil {
				return 0, err
			}
		}
		n, err := d.body.Read(p[:min(int64(len(p)), d.size-d.at)])
		if d.hash != nil {
			d.hash.Write(p[:n])
		}
		d.at += int64(n)
		if d.at == d.size && d.hash != nil && fmt.Sprintf("%x", d.hash.Sum(nil)) != strings.TrimPrefix(d.from.DigestStr(), "sha256:") {
			return 0, &contentError{d.from, d.cut}
		}
		d.progress(d.at)
		if err != nil && d.at < d.size {
			if err := d.interrupted(err); err != nil {
				return 0, err
			}
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

// interrupted waits after an interruption, or returns its reason if there were too many.
func (d *download) interrupted(why error) error {
	_ = d.body.Close()
	d.body, d.cut = nil, true
	if errors.Is(why, io.EOF) {
		why = io.ErrUnexpectedEOF
	}
	if d.cuts == 0 || d.at-d.cutAt >= worthwhile {
		d.cuts, d.waits = 0, retry.NewWaits(d.registry.wait)
	}
	d.cuts, d.cutAt = d.cuts+1, d.at
	switch {
	case d.ctx.Err() != nil:
		return context.Cause(d.ctx)
	case d.cuts > retry.Max || !isTransient(why):
		return why
	}
	d.emit(runtime.Retried{What: d.what, Error: sentence(why), Again: d.cuts})
	return d.waits.Wait(d.ctx)
}

// open requests what has not been read yet.
func (d *download) open() error {
	return d.registry.try(d.ctx, d.emit, d.what, func(ctx context.Context, s *session) error {
		repo := d.from.Context()
		client, err := d.registry.client(ctx, s, repo, repo.Scope(transport.PullScope))
		if err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, blobURL(repo, d.from.DigestStr()), nil)
		if err != nil {
			return err
		}
		r.Header.Set("Accept-Encoding", "identity")
		if d.at > 0 && !d.whole {
			r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", d.at, d.size-1))
		}
		answer, err := client.Do(r)
		if err != nil {
			return err
		}
		partial := answer.StatusCode == http.StatusPartialContent
		switch {
		case partial && strings.HasPrefix(answer.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", d.at)):
		case !d.whole && (partial || answer.StatusCode == http.StatusRequestedRangeNotSatisfiable):
			d.whole = true
			err = &resumeError{errors.New("it does not send a part of a blob")}
		case answer.StatusCode == http.StatusOK:
			_, err = io.CopyN(io.Discard, answer.Body, d.at)
		default:
			err = transport.CheckError(answer, http.StatusOK)
		}
		if err != nil {
			answer.Body.Close()
			return err
		}
		d.body = answer.Body
		return nil
	})
}

// errClosed is why a download that is closed ends. It is not a failure.
var errClosed = errors.New("the download is closed")

// Close implements [io.Closer]. It waits until no Read is running.
func (d *download) Close() error {
	_ = d.end()
	return nil
}

// end ends the reading, and returns why it had failed before.
func (d *download) end() error {
	d.cancel(errClosed)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.body != nil {
		_ = d.body.Close()
		d.body = nil
	}
	if d.err == nil {
		d.err = errClosed
		return nil
	}
	if errors.Is(d.err, io.EOF) || errors.Is(d.err, errClosed) {
		return nil
	}
	return d.err
}

func blobURL(repo name.Repository, digest string) string {
	return fmt.Sprintf("%s://%s/v2/%s/blobs/%s", repo.Scheme(), repo.RegistryStr(), repo.RepositoryStr(), digest)
}

// A contentError says that a registry serves something else than what the digest says.
type contentError struct {
	ref   name.Digest
	mixed bool // it is from several answers, and one may have been something else
}

// isMixed reports whether content may be right when it is read again.
func isMixed(err error) bool {
	var content *contentError
	return errors.As(err, &content) && content.mixed
}

func (e *contentError) Error() string {
	return fmt.Sprintf("registry %s serves other content for %s than the digest says", shownHost(e.ref.RegistryStr()), e.ref.DigestStr())
}
