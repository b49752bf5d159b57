package lsp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// A server is one session with an editor. Serve handles all messages in a loop,
// in the order in which they arrive; only evaluations run concurrently.
type server struct {
	opts      Options
	params    map[string]string
	conn      *conn
	workspace *workspace
	table     *table
	subjects  map[string]*subject
	verdicts  chan verdict
	turns     chan struct{} // held by the running evaluation
	work      sync.WaitGroup
	touched   []string // changed files whose evaluation is not scheduled yet
	broken    error    // the first failed write to the editor

	ready, shut bool

	mu        sync.Mutex
	waiting   map[string]bool // pending requests; guarded by mu
	cancelled map[string]bool // pending requests that the client has cancelled; guarded by mu
}

// An arrival is a message or an error that was read.
type arrival struct {
	message *message
	err     error
}

// receive forwards messages to the loop. It handles cancellations immediately,
// because the loop sees them only after the request.
func (s *server) receive(ctx context.Context, to chan<- arrival) {
	for {
		m, err := s.conn.read()
		var bad *rpcError
		if errors.As(err, &bad) {
			m, err = &message{ID: json.RawMessage("null"), Error: bad}, nil
		}
		if m != nil {
			s.note(m)
		}
		select {
		case to <- arrival{m, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *server) note(m *message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting, s.cancelled = map[string]bool{}, map[string]bool{}
	}
	if m.Method == "$/cancelRequest" {
		var p cancelParams
		if json.Unmarshal(m.Params, &p) == nil && s.waiting[string(p.ID)] {
			s.cancelled[string(p.ID)] = true
		}
		return
	}
	if m.ID != nil && m.Method != "" {
		s.waiting[string(m.ID)] = true
	}
}

// unwanted reports whether a request was cancelled before it was handled.
func (s *server) unwanted(id json.RawMessage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.cancelled[string(id)]
	delete(s.waiting, string(id))
	delete(s.cancelled, string(id))
	return was
}

// send sends a notification to the editor.
func (s *server) send(method string, params any) {
	if err := s.conn.notify(method, params); err != nil && s.broken == nil {
		s.broken = err
	}
}

// requestTime limits how long a request may take; results found by then are returned.
const requestTime = 10 * time.Second

// handle handles a message and reports whether it was the last.
func (s *server) handle(ctx context.Context, m *message) (done bool, err error) {
	var result any
	switch {
	case m.Error != nil && string(m.ID) == "null": // not a valid message
		err = m.Error
	case m.Method == "": // a response; the server sends no requests
		return false, nil
	case m.Method == "exit":
		if !s.shut {
			err = ErrNoShutdown
		}
		return true, err
	case m.ID != nil && s.unwanted(m.ID):
		err = &rpcError{codeCancelled, "cancelled"}
	case !s.ready && m.Method != "initialize":
		err = &rpcError{codeNotInitialized, m.Method + " before initialize"}
	case s.shut:
		err = &rpcError{codeInvalidRequest, m.Method + " after shutdown"}
	default:
		ctx, stop := context.WithTimeout(ctx, requestTime)
		result, err = s.safely(ctx, m)
		stop()
	}
	if m.ID != nil {
		if err := s.conn.respond(m.ID, result, err); err != nil && s.broken == nil {
			s.broken = err
		}
	}
	return false, nil
}

// safely calls the method of a message and recovers from a panic: one failed
// request must not end the session.
func (s *server) safely(ctx context.Context, m *message) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &rpcError{codeInternal, fmt.Sprintf("%s: %v", m.Method, p)}
			s.send("window/logMessage", map[string]any{"type": severityError, "message": fmt.Sprintf("%s: %v\n%s", m.Method, p, debug.Stack())})
		}
	}()
	f := methods[m.Method]
	if f == nil {
		if m.ID == nil { // unknown notifications are ignored
			return nil, nil
		}
		return nil, &rpcError{codeUnknownMethod, "unknown method " + m.Method}
	}
	return f(s, ctx, m.Params)
}

// A method handles a request or a notification.
type method func(s *server, ctx context.Context, params json.RawMessage) (any, error)

// on returns a method for a function that takes parameters of type P.
func on[P any](f func(s *server, ctx context.Context, p P) (any, error)) method {
	return func(s *server, ctx context.Context, params json.RawMessage) (any, error) {
		var p P
		if len(params) > 0 {
			if err := json.NewDecoder(bytes.NewReader(params)).Decode(&p); err != nil {
				return nil, &rpcError{codeInvalidParams, err.Error()}
			}
		}
		return f(s, ctx, p)
	}
}

var methods = map[string]method{
	"initialize":                          on((*server).initialize),
	"initialized":                         on(func(*server, context.Context, struct{}) (any, error) { return nil, nil }),
	"shutdown":                            on((*server).shutdown),
	"workspace/didChangeWorkspaceFolders": on((*server).foldersChanged),
	"workspace/didChangeWatchedFiles":     on((*server).filesChanged),
	"textDocument/didOpen":                on((*server).opened),
	"textDocument/didChange":              on((*server).edited),
	"textDocument/didSave":                on((*server).saved),
	"textDocument/didClose":               on((*server).closed),
	"textDocument/completion":             on((*server).completion),
	"textDocument/hover":                  on((*server).hover),
	"textDocument/signatureHelp":          on((*server).signatureHelp),
	"textDocument/definition":             on((*server).definition),
	"textDocument/references":             on((*server).references),
	"textDocument/prepareRename":          on((*server).prepareRename),
	"textDocument/rename":                 on((*server).rename),
	"textDocument/documentSymbol":         on((*server).symbols),
	"textDocument/codeAction":             on((*server).codeActions),
	"textDocument/formatting":             on((*server).formatting),
}

func (s *server) initialize(_ context.Context, p initializeParams) (any, error) {
	if s.ready {
		return nil, &rpcError{codeInvalidRequest, "already initialized"}
	}
	s.ready = true
	folders := p.WorkspaceFolders
	if len(folders) == 0 && p.RootURI != "" {
		folders = []workspaceFolder{{p.RootURI}}
	}
	s.addFolders(folders)
	if given := p.InitializationOptions; given != nil {
		if given.Environment != "" {
			s.opts.Environment.Name = given.Environment
		}
		s.params = maps.Clone(s.params)
		if s.params == nil {
			s.params = map[string]string{}
		}
		maps.Copy(s.params, given.Params)
	}
	const incremental = 2
	return map[string]any{
		"serverInfo": map[string]any{"name": "pipe", "version": s.opts.Version},
		"capabilities": map[string]any{
			"positionEncoding":           "utf-16",
			"textDocumentSync":           map[string]any{"openClose": true, "change": incremental, "save": map[string]any{}},
			"completionProvider":         map[string]any{"triggerCharacters": []string{".", "\"", "'", "/", "@", "("}},
			"hoverProvider":              true,
			"signatureHelpProvider":      map[string]any{"triggerCharacters": []string{"(", ","}},
			"definitionProvider":         true,
			"referencesProvider":         true,
			"renameProvider":             map[string]any{"prepareProvider": true},
			"documentSymbolProvider":     true,
			"documentFormattingProvider": true,
			"codeActionProvider":         map[string]any{"codeActionKinds": []string{"quickfix"}},
			"workspace": map[string]any{
				"workspaceFolders": map[string]any{"supported": true, "changeNotifications": true},
			},
		},
	}, nil
}

func (s *server) addFolders(list []workspaceFolder) {
	for _, f := range list {
		if dir := s.workspace.pathOf(f.URI); dir != "" && !isLibrary(dir) && !slices.Contains(s.workspace.folders, dir) {
			s.workspace.folders = append(s.workspace.folders, dir)
		}
	}
}

func (s *server) shutdown(context.Context, struct{}) (any, error) {
	s.shut = true
	for _, sub := range s.subjects {
		if sub.cancel != nil {
			sub.cancel(errNewer)
		}
	}
	return nil, nil
}

func (s *server) foldersChanged(_ context.Context, p foldersChange) (any, error) {
	for _, f := range p.Event.Removed {
		dir := s.workspace.pathOf(f.URI)
		s.workspace.folders = slices.DeleteFunc(s.workspace.folders, func(old string) bool { return old == dir })
	}
	s.addFolders(p.Event.Added)
	return nil, nil
}
