package lsp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/pipelinefile/pipe/interp/lsp"
)

// hang bounds a wait that ends immediately unless something is broken.
const hang = 2 * time.Minute

// A client plays an editor: it talks to a server through pipes.
type client struct {
	t    *testing.T
	dir  string
	in   io.WriteCloser
	out  *bufio.Reader
	next int

	mu     sync.Mutex
	cond   *sync.Cond
	answer map[string]response // by id; guarded by mu
	found  map[string]published
	ended  bool
	served chan error

	versions map[string]int
}

type response struct {
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
	}
}

type published struct {
	Version     *int
	Diagnostics []diagnostic
	count       int
}

type position struct{ Line, Character int }

type span struct{ Start, End position }

type diagnostic struct {
	Range    span   `json:"range"`
	Severity int    `json:"severity"`
	Source   string `json:"source"`
	Message  string `json:"message"`
	Data     any    `json:"data,omitempty"`
	Related  []struct {
		Location struct {
			URI   string
			Range span
		}
		Message string
	} `json:"relatedInformation"`
}

// start writes the files of an archive to disk and starts a server for them.
func start(t *testing.T, archive string, opts lsp.Options) *client {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		file := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if opts.Library == "" {
		opts.Library = filepath.Join(dir, ".std")
	}
	toServer, fromClient := io.Pipe()
	toClient, fromServer := io.Pipe()
	c := &client{t: t, dir: dir, in: fromClient, out: bufio.NewReader(toClient), answer: map[string]response{},
		found: map[string]published{}, served: make(chan error, 1), versions: map[string]int{}}
	c.cond = sync.NewCond(&c.mu)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		err := lsp.Serve(ctx, toServer, fromServer, opts)
		_ = fromServer.CloseWithError(io.EOF)
		_ = toServer.Close()
		c.served <- err
	}()
	go c.receive()
	watch := time.AfterFunc(hang, func() { c.mu.Lock(); c.ended = true; c.mu.Unlock(); c.cond.Broadcast() })
	t.Cleanup(func() { watch.Stop(); cancel(); _ = fromClient.Close(); _ = toClient.Close() })
	c.call("initialize", map[string]any{"rootUri": c.uri("."), "capabilities": map[string]any{}})
	c.notify("initialized", map[string]any{})
	return c
}

func (c *client) uri(name string) string {
	return "file://" + filepath.ToSlash(filepath.Join(c.dir, name))
}

func (c *client) receive() {
	defer func() {
		c.mu.Lock()
		c.ended = true
		c.mu.Unlock()
		c.cond.Broadcast()
	}()
	for {
		header, err := textproto.NewReader(c.out).ReadMIMEHeader()
		if err != nil {
			return
		}
		n, err := strconv.Atoi(header.Get("Content-Length"))
		if err != nil {
			return
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(c.out, body); err != nil {
			return
		}
		var m struct {
			ID     json.RawMessage
			Method string
			Params json.RawMessage
			response
		}
		if err := json.Unmarshal(body, &m); err != nil {
			return
		}
		c.mu.Lock()
		switch m.Method {
		case "":
			c.answer[string(m.ID)] = m.response
		case "textDocument/publishDiagnostics":
			var p struct {
				URI string
				published
			}
			_ = json.Unmarshal(m.Params, &p)
			p.count = c.found[p.URI].count + 1
			c.found[p.URI] = p.published
		case "window/logMessage":
			c.t.Errorf("the server logged %s", m.Params)
		}
		c.mu.Unlock()
		c.cond.Broadcast()
	}
}

func (c *client) send(m map[string]any) {
	c.t.Helper()
	m["jsonrpc"] = "2.0"
	body, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c.in, "Content-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) notify(method string, params any) {
	c.t.Helper()
	c.send(map[string]any{"method": method, "params": params})
}

// try sends a request and returns the response.
func (c *client) try(method string, params any) response {
	c.t.Helper()
	c.next++
	id := strconv.Itoa(c.next)
	c.send(map[string]any{"id": c.next, "method": method, "params": params})
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if a, ok := c.answer[id]; ok {
			return a
		}
		if c.ended {
			c.t.Fatalf("%s: no response", method)
		}
		c.cond.Wait()
	}
}

// call is try for a request that must succeed.
func (c *client) call(method string, params any) json.RawMessage {
	c.t.Helper()
	a := c.try(method, params)
	if a.Error != nil {
		c.t.Fatalf("%s: %s", method, a.Error.Message)
	}
	return a.Result
}

func decode[T any](t *testing.T, data json.RawMessage) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return v
}

// open opens a file with the given text, by default with the text on disk.
func (c *client) open(name string, text ...string) {
	c.t.Helper()
	if len(text) == 0 {
		data, err := os.ReadFile(filepath.Join(c.dir, name))
		if err != nil {
			c.t.Fatal(err)
		}
		text = []string{string(data)}
	}
	c.versions[name] = 1
	c.notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{
		"uri": c.uri(name), "languageId": "pipelinefile", "version": 1, "text": text[0]}})
}

// change replaces a range of a file; nil is the whole file.
func (c *client) change(name string, at *span, text string) {
	c.t.Helper()
	c.versions[name]++
	change := map[string]any{"text": text}
	if at != nil {
		change["range"] = at
	}
	c.notify("textDocument/didChange", map[string]any{
		"textDocument":   map[string]any{"uri": c.uri(name), "version": c.versions[name]},
		"contentChanges": []any{change},
	})
}

// diagnostics waits for the diagnostics of the current version of a file.
func (c *client) diagnostics(name string) []diagnostic {
	c.t.Helper()
	return c.wait(name, func(p published) bool { return p.Version != nil && *p.Version == c.versions[name] })
}

// wait waits until ok accepts the published diagnostics of a file.
func (c *client) wait(name string, ok func(published) bool) []diagnostic {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if p := c.found[c.uri(name)]; p.count > 0 && ok(p) {
			return p.Diagnostics
		}
		if c.ended {
			c.t.Fatalf("no such diagnostics of %s: %v", name, c.found)
		}
		c.cond.Wait()
	}
}

// shown formats diagnostics as lines of the form LINE:COLUMN-COLUMN: message.
func shown(list []diagnostic) string {
	var out []string
	for _, d := range list {
		out = append(out, fmt.Sprintf("%d:%d-%d: %s", d.Range.Start.Line+1, d.Range.Start.Character, d.Range.End.Character, d.Message))
	}
	return strings.Join(out, "\n")
}

// at returns the parameters of a request at the cursor, the "|" in text.
func (c *client) at(name, text string) map[string]any {
	before, _, ok := strings.Cut(text, "|")
	if !ok {
		c.t.Fatalf("no cursor in %q", text)
	}
	return map[string]any{"textDocument": map[string]any{"uri": c.uri(name)}, "position": endOf(before)}
}

// endOf returns the position of the end of text, in UTF-16 units as in the protocol.
func endOf(text string) position {
	line := strings.Count(text, "\n")
	last := text[strings.LastIndexByte(text, '\n')+1:]
	n := 0
	for _, r := range last {
		n++
		if r > 0xffff {
			n++
		}
	}
	return position{line, n}
}

// show opens a file with text, or replaces its text, and returns the parameters
// of a request at the cursor, the "|" in text.
func (c *client) show(name, text string) map[string]any {
	c.t.Helper()
	whole := strings.Replace(text, "|", "", 1)
	if c.versions[name] == 0 {
		c.open(name, whole)
	} else {
		c.change(name, nil, whole)
	}
	return c.at(name, text)
}

func itoa(n int) string { return strconv.Itoa(n) }
