package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// The disk space of deleted images is freed by a garbage collection: blobs that no manifest
// names are removed. A client pushes the blobs of an image before its manifest, and does not
// send those that the registry says to have. So a blob that was written or asked for recently
// is kept: its time on disk is set whenever a request names it. While a collection runs, such
// requests wait, and so do those that write manifests.

// collectGrace is how long a blob without a manifest is kept after a request named it. A push
// takes less time from its first request to its manifest.
const collectGrace = time.Hour

// CollectPath is the URL path to which a POST, with the password of [Password], starts a
// garbage collection. The answer is a [Collected] as JSON.
const CollectPath = "/pipe/collect"

// A Collected says what a garbage collection has removed.
type Collected struct {
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

// A collector passes requests on to next, and collects garbage between them.
type collector struct {
	keeper
	next  http.Handler
	grace time.Duration
	mu    sync.RWMutex // held for writing during a collection
}

var digests = regexp.MustCompile(`sha256(?::|%3A|%3a)([0-9a-f]{64})`)

// ServeHTTP implements [http.Handler].
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == CollectPath && r.Method == http.MethodPost {
		c.serve(w, r)
		return
	}
	repository, kind, reference, ok := resource(r.URL.Path)
	if kind == "blobs" { // or an upload of one
		c.touchAll(r)
	}
	if !ok || kind != "manifests" {
		c.next.ServeHTTP(w, r)
		return
	}
	switch r.Method {
	case http.MethodPut:
		c.mu.RLock() // the mender has already read the body
		defer c.mu.RUnlock()
	case http.MethodDelete:
		c.mu.Lock()
		defer c.mu.Unlock()
		if hex, ok := hexOf(reference); ok && c.modified(hex, r.Header.Get("If-Unmodified-Since")) {
			refuse(w, http.StatusPreconditionFailed, "DENIED", reference+" was pushed or asked for meanwhile")
			return
		}
	case http.MethodHead: // a push asks what it need not send
		c.touchAll(r)
		if to, err := c.link(filepath.Join(c.repository(repository), "_manifests/tags", reference, "current")); err == nil {
			if hex, ok := hexOf(to); ok {
				c.touch(hex)
			}
		}
	}
	c.next.ServeHTTP(w, r)
}

// modified reports whether a request has named a manifest since a date. Without a valid date
// it is false.
func (c *collector) modified(hex, date string) bool {
	since, err := http.ParseTime(date)
	if err != nil {
		return false
	}
	info, err := os.Stat(filepath.Join(c.blob(hex), "data"))
	return err == nil && info.ModTime().After(since)
}

// touchAll notes that a request has named blobs.
func (c *collector) touchAll(r *http.Request) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, found := range digests.FindAllStringSubmatch(r.URL.RequestURI(), -1) {
		c.touch(found[1])
	}
}

// touch sets the time of a blob, to the second. If it fails, the blob may be collected, and
// the push that needs it fails.
func (k keeper) touch(hex string) {
	file, now := filepath.Join(k.blob(hex), "data"), time.Now()
	if info, err := os.Stat(file); err == nil && now.Sub(info.ModTime()) > time.Second {
		_ = os.Chtimes(file, now, now)
	}
}

func (c *collector) serve(w http.ResponseWriter, r *http.Request) {
	done, err := c.collect(r.Context())
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", "collect garbage: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(done) // the client may be gone
}

// collect removes the blobs that no manifest names. The links to a blob are removed before
// it, so that after an interruption none leads nowhere.
func (c *collector) collect(ctx context.Context) (done Collected, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	named, links, err := c.mark(ctx)
	if err != nil || named == nil {
		return done, err
	}
	blobs, err := filepath.Glob(filepath.Join(c.root, "docker/registry/v2/blobs/sha256/*/*"))
	if err != nil {
		return done, err
	}
	for _, blob := range blobs {
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		hex := filepath.Base(blob)
		info, err := os.Stat(filepath.Join(blob, "data"))
		if named[hex] || err != nil || time.Since(info.ModTime()) < c.grace {
			continue
		}
		for _, link := range links[hex] {
			if err := os.RemoveAll(link); err != nil {
				return done, err
			}
		}
		if err := os.RemoveAll(blob); err != nil {
			return done, err
		}
		done.Blobs++
		done.Bytes += info.Size()
	}
	return done, nil
}

// mark returns the digests in all manifests, with those of the manifests, and the directories
// that link to each blob. Every digest in a manifest counts, whatever it means there. What
// cannot be read is an error, because it may name blobs. Without repositories named is nil.
func (c *collector) mark(ctx context.Context) (named map[string]bool, links map[string][]string, err error) {
	top, err := filepath.EvalSymlinks(c.repository(""))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	named, links = make(map[string]bool), make(map[string][]string)
	err = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // an upload has ended, or damage was removed
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case d.Type()&fs.ModeSymlink != 0:
			return fmt.Errorf("%s is a symbolic link", path)
		case !d.IsDir():
			return nil
		}
		// No part of the name of a repository begins with an underscore.
		hex := d.Name()
		in, kind := filepath.Split(filepath.Dir(filepath.Dir(path)))
		switch {
		case hex == "_uploads" || hex == "tags" && filepath.Base(filepath.Dir(path)) == "_manifests":
			return fs.SkipDir
		case !hexDigest.MatchString("sha256:" + hex):
			return nil
		case kind == "_layers":
			links[hex] = append(links[hex], path)
			return fs.SkipDir
		case kind != "revisions" || filepath.Base(in) != "_manifests":
			return nil
		}
		if _, err := os.Lstat(filepath.Join(path, "link")); errors.Is(err, fs.ErrNotExist) {
			return fs.SkipDir // it was deleted
		}
		named[hex] = true
		data, err := os.ReadFile(filepath.Join(c.blob(hex), "data"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it is damaged, and so is the image
			return fmt.Errorf("read manifest %s: %w", hex, err)
		}
		for _, found := range digests.FindAllSubmatch(data, -1) {
			named[string(found[1])] = true
		}
		return fs.SkipDir
	})
	return named, links, err
}
