package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Signatures, attestations and bills of materials are separate manifests in the repository of
// the image that they describe. They are found in three ways: the registry lists the
// referrers of a digest; if it cannot, an index under the tag sha256-HEX lists them; and
// older tools give each a tag such as sha256-HEX.sig. All three are requested for each
// manifest of an image, and also for each manifest found, because a bill of materials may be
// signed. An image without any referrers costs one request for each of its manifests, made
// concurrently, and one for the tags of its repository.

// depth limits the length of chains of referrers.
const depth = 4

// Limits for the answers of a registry.
const (
	tagPages  = 3   // of tags; if there are more, each tag is requested separately
	listPages = 100 // of referrers of one manifest
	listBytes = 8 << 20
)

// cosignTags are the suffixes of tags that older tools write.
var cosignTags = []string{".sig", ".att", ".sbom"}

// refTag is the tag for the referrers of a digest, without a suffix.
func refTag(digest v1.Hash) string { return digest.Algorithm + "-" + digest.Hex }

// found contains the referrers of one manifest.
type found struct {
	digest v1.Hash // of the manifest
	listed []v1.Descriptor
	tagged []tagged
}

type tagged struct {
	tag    string
	digest v1.Hash
}

// attached reads the referrers of the manifests that were read. tags are those of the
// repository; see [copier.tags].
func (r *reading) attached(ctx context.Context, tags map[string]bool) error {
	asked := 0
	for range depth {
		var all []*found
		for _, m := range r.manifests[asked:] {
			all = append(all, &found{digest: m.desc.Digest})
		}
		asked = len(r.manifests)
		err := inParallel(ctx, all, func(ctx context.Context, f *found) error { return r.find(ctx, f, tags) })
		if err != nil {
			return err
		}
		for _, f := range all {
			if err := r.take(ctx, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// take reads the referrers that were found. One that is listed but does not exist, as after
// garbage collection, or that has an obsolete format, is skipped with a warning.
func (r *reading) take(ctx context.Context, f *found) error {
	for _, d := range f.listed {
		if !d.MediaType.IsIndex() && !d.MediaType.IsImage() {
			r.warn("%s, which refers to it, has the type %q: it is not copied", d.Digest, d.MediaType)
			continue
		}
		err := r.visit(ctx, d.Digest)
		if isNotFound(err) {
			r.warn("%s, which its registry lists as referring to it, is not there: it is not copied", d.Digest)
			continue
		}
		if err != nil {
			return err
		}
	}
	for _, t := range f.tagged {
		if err := r.visit(ctx, t.digest); err != nil {
			return err
		}
		if at, ok := r.at[t.digest]; ok {
			r.manifests[at].tags = append(r.manifests[at].tags, t.tag)
		}
	}
	return nil
}

func (r *reading) warn(format string, args ...any) {
	r.emit(runtime.Warned{Diagnostic: plan.Diagnostic{Severity: plan.SeverityWarning, Message: "image " + r.image + ": " + fmt.Sprintf(format, args...)}})
}

func isNotFound(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}

// tags returns the tags of the repository upstream, or nil if there are too many or the
// registry does not list them. Then each tag is requested separately.
func (c *copier) tags(ctx context.Context, image v1.Hash) (map[string]bool, error) {
	var tags map[string]bool
	err := c.registry.try(ctx, c.emit, "list the tags of "+c.from.Name(), func(ctx context.Context, s *session) error {
		tags = nil
		all := map[string]bool{}
		pages, err := s.puller.Lister(ctx, c.from)
		for i := 0; err == nil && pages.HasNext(); i++ {
			if i == tagPages {
				return nil
			}
			page, failed := pages.Next(ctx)
			if err = failed; err == nil {
				for _, tag := range page.Tags {
					all[tag] = true
				}
			}
		}
		if err == nil {
			tags = all
		}
		return err
	})
	var answer *transport.Error
	if err != nil && !errors.As(err, &answer) {
		return nil, c.unlisted(image, err)
	}
	return tags, nil
}

func (c *copier) unlisted(digest v1.Hash, err error) error {
	return &upstreamError{ref: c.from.Digest(digest.String()), err: err, listing: true}
}

// find finds the referrers of a manifest.
func (c *copier) find(ctx context.Context, f *found, tags map[string]bool) (err error) {
	f.listed, err = c.listed(ctx, f.digest, tags)
	for _, end := range cosignTags {
		tag := c.from.Tag(refTag(f.digest) + end)
		if err != nil || tags != nil && !tags[tag.TagStr()] {
			continue
		}
		var digest v1.Hash
		digest, err = c.registry.head(ctx, tag, c.emit)
		if isNotFound(err) {
			err = nil
			continue
		}
		f.tagged = append(f.tagged, tagged{tag.TagStr(), digest})
	}
	if err != nil {
		return c.unlisted(f.digest, err)
	}
	return nil
}

// listed returns what the registry lists as referring to a manifest.
func (c *copier) listed(ctx context.Context, digest v1.Hash, tags map[string]bool) (all []v1.Descriptor, err error) {
	var lists bool
	err = c.registry.try(ctx, c.emit, "list what refers to "+show(c.from.Digest(digest.String())), func(ctx context.Context, s *session) error {
		client, err := c.registry.client(ctx, s, c.from, c.from.Scope(transport.PullScope))
		if err == nil {
			all, lists, err = referrers(ctx, client, c.from, digest)
		}
		return err
	})
	if err == nil && !lists {
		all, err = c.listUnderTag(ctx, digest, tags)
	}
	return all, err
}

// referrers returns all pages of the list of referrers of a digest. lists is false if the
// registry does not support such lists.
func referrers(ctx context.Context, client *http.Client, repo name.Repository, digest v1.Hash) (all []v1.Descriptor, lists bool, err error) {
	next := fmt.Sprintf("%s://%s/v2/%s/referrers/%s", repo.Scheme(), repo.RegistryStr(), repo.RepositoryStr(), digest)
	for range listPages {
		var page []v1.Descriptor
		page, next, lists, err = referrersPage(ctx, client, next)
		all = append(all, page...)
		if err != nil || !lists || next == "" {
			return all, lists, err
		}
	}
	return nil, false, fmt.Errorf("more than %d pages refer to %s", listPages, digest)
}

func referrersPage(ctx context.Context, client *http.Client, at string) (page []v1.Descriptor, next string, lists bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, "", false, err
	}
	r.Header.Set("Accept", string(types.OCIImageIndex))
	answer, err := client.Do(r)
	if err != nil {
		return nil, "", false, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
		return nil, "", false, nil
	}
	if err := transport.CheckError(answer, http.StatusOK); err != nil {
		return nil, "", false, err
	}
	// Some servers return an HTML page at any path.
	if kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); kind != string(types.OCIImageIndex) {
		return nil, "", false, nil
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, listBytes+1))
	if err == nil && len(body) > listBytes {
		err = fmt.Errorf("the list of what refers to an image has more than %d MiB", listBytes>>20)
	}
	if err != nil {
		return nil, "", false, err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(body, &index); err != nil {
		return nil, "", false, fmt.Errorf("the list of what refers to an image: %w", err)
	}
	next, err = nextPage(answer)
	return index.Manifests, next, true, err
}

// nextPage returns the address of the page after answer, which must be at the same host; ""
// for the last page.
func nextPage(answer *http.Response) (string, error) {
	link, rel, ok := strings.Cut(answer.Header.Get("Link"), ">")
	link, opened := strings.CutPrefix(link, "<")
	if !ok || !opened || !strings.Contains(rel, "next") {
		return "", nil
	}
	to, err := answer.Request.URL.Parse(link)
	if err == nil && (to.Host != answer.Request.URL.Host || to.Scheme != answer.Request.URL.Scheme) {
		err = errors.New("the next page of the list is at another host")
	}
	if err != nil {
		return "", err
	}
	return to.String(), nil
}

// listUnderTag returns the entries of the index under the tag of a digest.
func (c *copier) listUnderTag(ctx context.Context, digest v1.Hash, tags map[string]bool) ([]v1.Descriptor, error) {
	tag := c.from.Tag(refTag(digest))
	if tags != nil && !tags[tag.TagStr()] {
		return nil, nil
	}
	m, err := c.registry.manifest(ctx, tag, c.emit)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(m.raw))
	if err != nil {
		return nil, fmt.Errorf("tag %s is not an index: %w", tag.TagStr(), err)
	}
	return index.Manifests, nil
}
