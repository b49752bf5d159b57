package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/helmfile/vals/pkg/api"
	"github.com/helmfile/vals/pkg/config"
)

// maxConcurrent limits how many documents are fetched concurrently.
const maxConcurrent = 16

// A fetcher fetches the values of one request. It fetches each document once, also if several references are
// to keys of it.
type fetcher struct {
	managers  map[string]manager
	hide      func(string) string // removes credentials from errors
	workspace string
	timeout   time.Duration

	clients   map[string]*client   // by reference.client
	documents map[string]*document // by reference.document
	answers   []answer             // each task sets answers of its own
}

// A document is what a manager keeps under one path.
type document struct {
	*client
	path string
	text []int            // the asks for all of it
	keys map[int][]string // the asks for values in it
}

// fetch answers all asks, concurrently.
func (f *fetcher) fetch(ctx context.Context, asks []ask) []answer {
	f.clients, f.documents, f.answers = make(map[string]*client), make(map[string]*document), make([]answer, len(asks))
	var tasks []func()
	for i, a := range asks {
		if a.Reference == "" {
			tasks = append(tasks, func() { f.decrypt(ctx, i, a) })
		} else if err := f.add(i, a); err != nil {
			f.set(i, "", err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.documents)) {
		d := f.documents[key]
		if len(d.text) > 0 {
			tasks = append(tasks, func() { f.fetchText(ctx, d) })
		}
		if len(d.keys) > 0 {
			tasks = append(tasks, func() { f.fetchKeys(ctx, d) })
		}
	}
	free := make(chan struct{}, maxConcurrent)
	var all sync.WaitGroup
	for _, task := range tasks {
		free <- struct{}{}
		all.Go(func() {
			task()
			<-free
		})
	}
	all.Wait()
	return f.answers
}

// add adds a reference to its document.
func (f *fetcher) add(i int, a ask) error {
	r, err := parseReference(a.Reference)
	if err != nil {
		return err
	}
	for _, name := range []string{"optional", "fallback_value"} {
		if r.params.Has(name) {
			return fmt.Errorf("the parameter %s is not allowed: a value that cannot be fetched is an error", name)
		}
	}
	if r.isFile() && !filepath.IsAbs(r.path) {
		r.path = filepath.Join(a.Dir, filepath.FromSlash(r.path))
	}
	d := f.documents[r.document()]
	if d == nil {
		c, err := f.client(r)
		if err != nil {
			return err
		}
		d = &document{client: c, path: r.path, keys: make(map[int][]string)}
		f.documents[r.document()] = d
	}
	if len(r.keys) == 0 {
		d.text = append(d.text, i)
	} else {
		d.keys[i] = r.keys
	}
	return nil
}

// client returns the client for a reference.
func (f *fetcher) client(r reference) (*client, error) {
	if c := f.clients[r.client()]; c != nil {
		return c, nil
	}
	c := newClient(plainFile{f.workspace}, true)
	if r.scheme != "file" {
		m, ok := f.managers[r.scheme]
		if !ok {
			known := slices.Sorted(maps.Keys(f.managers))
			return nil, fmt.Errorf("the scheme %q is not allowed: use one of %s, file", r.scheme, strings.Join(known, ", "))
		}
		c = newClient(m.open(configOf(r.params)), m.parses || r.params.Get("mode") == "singleparam") // of awsssm
	}
	f.clients[r.client()] = c
	return c, nil
}

// fetchText answers the asks for all of a document.
func (f *fetcher) fetchText(ctx context.Context, d *document) {
	value, err := get(ctx, f, d.client, func(p api.Provider) (string, error) { return p.GetString(d.path) })
	for _, i := range d.text {
		f.set(i, value, err)
	}
}

// fetchKeys answers the asks for values in a document.
func (f *fetcher) fetchKeys(ctx context.Context, d *document) {
	values, err := get(ctx, f, d.client, func(p api.Provider) (map[string]any, error) {
		values, err := p.GetStringMap(d.path)
		if err == nil || !d.parses {
			return values, err
		}
		// The error may quote the document. Without parsing, it cannot.
		if _, err := p.GetString(d.path); err != nil {
			return nil, err
		}
		return nil, errors.New("the value is not a map of keys to values, so nothing can follow #")
	})
	for i, keys := range d.keys {
		value, notFound := "", err
		if err == nil {
			value, notFound = valueAt(values, keys)
		}
		f.set(i, value, notFound)
	}
}

// decrypt answers an ask for the plain text of a file that is encrypted by SOPS.
func (f *fetcher) decrypt(ctx context.Context, i int, a ask) {
	c := newClient(f.managers["sops"].open(config.Map(map[string]any{"key_type": "base64", "format": a.Format})), true)
	value, err := get(ctx, f, c, func(p api.Provider) (string, error) {
		return p.GetString(base64.URLEncoding.EncodeToString(a.SOPS))
	})
	f.set(i, value, err)
}

// set sets an answer.
func (f *fetcher) set(i int, value string, err error) {
	switch {
	case err != nil:
		f.answers[i] = answer{Error: f.text(err)}
	case value == "":
		f.answers[i] = answer{Error: "the value is empty"}
	default:
		f.answers[i] = answer{Value: []byte(value)}
	}
}

// maxError limits the length of an error, in bytes. Some contain pages of HTML.
const maxError = 600

// text returns an error in one line, without credentials.
func (f *fetcher) text(err error) string {
	text := f.hide(strings.Join(strings.Fields(err.Error()), " "))
	if len(text) > maxError {
		text = strings.ToValidUTF8(text[:maxError], "") + "…"
	}
	return text
}

// A client is a client of a manager.
type client struct {
	provider api.Provider
	parses   bool // see manager.parses

	// first is held for requests until one has succeeded, and then closed: most clients log in lazily, without a
	// lock, and some logins can be used only once.
	first chan struct{}
}

func newClient(p api.Provider, parses bool) *client {
	c := &client{provider: p, parses: parses, first: make(chan struct{}, 1)}
	c.first <- struct{}{}
	return c
}

// errClient is the error of a client that panics. What it panics with may contain a value.
var errClient = errors.New("the client of the manager failed")

// get makes a request. The clients cannot be cancelled: after the timeout, the request continues until the process
// ends.
func get[T any](ctx context.Context, f *fetcher, c *client, request func(api.Provider) (T, error)) (T, error) {
	ctx, stop := context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("no answer within %s", f.timeout))
	defer stop()
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		r := result{err: errClient}
		defer func() {
			_ = recover()
			done <- r
		}()
		if _, isFirst := <-c.first; isFirst {
			defer func() {
				if r.err == nil {
					close(c.first)
				} else {
					c.first <- struct{}{}
				}
			}()
		}
		r.value, r.err = request(c.provider)
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
