package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// An upload writes a blob into this registry. After an interruption it asks the registry how
// much it has, and sends the rest. If the registry does not know, it begins again.
type upload struct {
	*copier
	what  string
	desc  v1.Descriptor
	mount name.Repository // a repository of this registry that has the blob; zero: not known

	location string // of the next request; empty: it has not begun
	at       int64  // how much the registry has
	resumed  bool
}

// small is the size up to which a blob is sent in the request that completes its upload: it costs one
// request less, and after an interruption it is sent again from the beginning.
const small = 64 << 10

// A resumeError says that a registry does not continue an upload or a download, which is then
// tried in another way.
type resumeError struct{ error }

func (e *resumeError) Unwrap() error { return e.error }

// do writes the blob, unless the registry has it.
func (u *upload) do(ctx context.Context) error {
	for {
		before := u.at
		err := u.registry.try(ctx, u.emit, u.what, u.once)
		if err == nil || !isTransient(err) || u.at < before+worthwhile {
			return err
		}
	}
}

// once writes what the registry does not have yet.
func (u *upload) once(ctx context.Context, s *session) error {
	scopes := []string{u.to.Scope(transport.PushScope)}
	if u.mount != (name.Repository{}) {
		scopes = append(scopes, u.mount.Scope(transport.PullScope))
	}
	client, err := u.registry.client(ctx, s, u.to, scopes...)
	if err != nil {
		return err
	}
	if u.location != "" {
		if err := u.status(ctx, client); err != nil {
			return err
		}
	}
	if u.location == "" {
		if there, err := u.begin(ctx, client); there || err != nil {
			return err
		}
	}
	err = u.send(ctx, client)
	var answer *transport.Error
	if u.resumed && errors.As(err, &answer) && isForRequest(answer) {
		u.location = ""
		return &resumeError{err}
	}
	return err
}

// isForRequest reports whether an answer means that the request is wrong.
func isForRequest(answer *transport.Error) bool {
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusConflict, http.StatusGone,
		http.StatusRequestedRangeNotSatisfiable, http.StatusUnprocessableEntity, http.StatusNotImplemented:
		return true
	}
	return false
}

// status asks how much the registry has of the upload.
func (u *upload) status(ctx context.Context, client *http.Client) error {
	answer, err := u.request(ctx, client, http.MethodGet, u.location, nil, 0, http.StatusNoContent, http.StatusOK, http.StatusAccepted)
	var refused *transport.Error
	if errors.As(err, &refused) && isForRequest(refused) {
		u.location = ""
		return nil
	}
	if err != nil {
		return err
	}
	u.resumed = true
	begin, end, _ := strings.Cut(strings.TrimPrefix(answer.header.Get("Range"), "bytes="), "-")
	last, err := strconv.ParseInt(end, 10, 64)
	if begin != "0" || err != nil || last < 0 || last >= u.desc.Size {
		u.location = ""
		return nil
	}
	// The range of an empty upload is 0-0, too: one byte would be sent again. So it is read as
	// empty, and the registry refuses that if it has the byte.
	if u.at = last + 1; last == 0 {
		u.at = 0
	}
	if answer.header.Get("Location") != "" {
		u.location, err = answer.next()
	}
	return err
}

// begin starts the upload. there means that the registry has the blob, or has taken it from
// another repository.
func (u *upload) begin(ctx context.Context, client *http.Client) (there bool, err error) {
	u.at, u.resumed = 0, false
	_, err = u.request(ctx, client, http.MethodHead, blobURL(u.to, u.desc.Digest.String()), nil, 0, http.StatusOK)
	var refused *transport.Error
	if err == nil || isTransient(err) || !errors.As(err, &refused) {
		return err == nil, err
	} // otherwise it is not there; an answer to HEAD has no body with the reason why it may not be read
	to := fmt.Sprintf("%s://%s/v2/%s/blobs/uploads/", u.to.Scheme(), u.to.RegistryStr(), u.to.RepositoryStr())
	var answer reply
	if u.mount != (name.Repository{}) {
		query := url.Values{"mount": {u.desc.Digest.String()}, "from": {u.mount.RepositoryStr()}}
		answer, err = u.request(ctx, client, http.MethodPost, to+"?"+query.Encode(), nil, 0, http.StatusCreated, http.StatusAccepted)
		if err == nil && answer.status == http.StatusCreated {
			return true, nil
		}
	}
	if u.mount == (name.Repository{}) || err != nil && !isTransient(err) && ctx.Err() == nil {
		answer, err = u.request(ctx, client, http.MethodPost, to, nil, 0, http.StatusAccepted)
	}
	if err == nil {
		u.location, err = answer.next()
	}
	return false, err
}

// send sends the rest of the blob, and completes the upload.
func (u *upload) send(ctx context.Context, client *http.Client) error {
	together := u.at == 0 && u.desc.Size > 0 && u.desc.Size <= small
	if u.at < u.desc.Size && !together {
		answer, err := u.sendBody(ctx, client, http.MethodPatch, u.location, http.StatusAccepted, http.StatusNoContent, http.StatusCreated)
		if err == nil {
			u.location, err = answer.next()
		}
		if err != nil {
			return err
		}
	}
	at, err := url.Parse(u.location)
	if err != nil {
		return err
	}
	query := at.Query()
	query.Set("digest", u.desc.Digest.String())
	at.RawQuery = query.Encode()
	if together {
		_, err = u.sendBody(ctx, client, http.MethodPut, at.String(), http.StatusCreated, http.StatusNoContent)
	} else {
		_, err = u.request(ctx, client, http.MethodPut, at.String(), nil, 0, http.StatusCreated, http.StatusNoContent)
	}
	return err
}

// sendBody makes a request with the rest of the blob.
func (u *upload) sendBody(ctx context.Context, client *http.Client, method, to string, want ...int) (reply, error) {
	from := u.download(ctx, u.what, u.desc, u.at)
	answer, err := u.request(ctx, client, method, to, from, u.desc.Size-u.at, want...)
	if failed := from.end(); failed != nil {
		if isMixed(failed) {
			u.location = ""
		}
		return reply{}, failed
	}
	var refused *transport.Error
	if err != nil && !errors.As(err, &refused) && ctx.Err() == nil {
		return reply{}, &resumeError{err}
	}
	return answer, err
}

// A reply is an answer without its body.
type reply struct {
	status int
	header http.Header
	from   *url.URL
}

// request makes one request.
func (u *upload) request(ctx context.Context, client *http.Client, method, to string, body io.Reader, size int64, want ...int) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, method, to, body)
	if err != nil {
		return reply{}, err
	}
	if body != nil {
		r.ContentLength = size
		r.Header.Set("Content-Type", "application/octet-stream")
		if u.at > 0 {
			r.Header.Set("Content-Range", fmt.Sprintf("%d-%d", u.at, u.at+size-1))
		}
	}
	answer, err := client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer answer.Body.Close()
	return reply{answer.StatusCode, answer.Header, answer.Request.URL}, transport.CheckError(answer, want...)
}

// next returns the address of the next request of an upload.
func (a reply) next() (string, error) {
	to, err := a.from.Parse(a.header.Get("Location"))
	if err == nil && a.header.Get("Location") == "" {
		err = errors.New("it does not say where to send a blob to")
	}
	if err == nil {
		err = elsewhere(a.from, to)
	}
	if err != nil {
		return "", err
	}
	return to.String(), nil
}
