package lsp

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"sync"
)

// maxMessage limits the size of a message from the client, which is held
// several times while it is read. A longer one, such as a file that no editor
// would show, is skipped.
const maxMessage = 16 << 20

// A message is one request, notification or response of JSON-RPC 2.0.
type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"` // of a request and its response
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *rpcError       `json:"error,omitempty"`
}

// An rpcError is the error of a response.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Error returns the message.
func (e *rpcError) Error() string { return e.Message }

// The codes of errors.
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeUnknownMethod  = -32601
	codeInvalidParams  = -32602
	codeInternal       = -32603
	codeNotInitialized = -32002
	codeRequestFailed  = -32803
	codeCancelled      = -32800
)

// A conn reads and writes messages, each with a header that gives its length.
type conn struct {
	in *bufio.Reader

	mu  sync.Mutex
	out io.Writer // guarded by mu
}

func newConn(in io.Reader, out io.Writer) *conn {
	return &conn{in: bufio.NewReaderSize(in, 64<<10), out: out}
}

// read returns the next message, or io.EOF at the end. If another error is an
// *rpcError, it concerns that message only, and reading can continue.
func (c *conn) read() (*message, error) {
	size := -1
	for line := 0; ; line++ {
		text, err := c.in.ReadSlice('\n')
		if errors.Is(err, io.EOF) && line == 0 && len(text) == 0 {
			return nil, io.EOF
		}
		if err != nil {
			return nil, fmt.Errorf("header of a message: %w", noEOF(err))
		}
		name, value, ok := bytes.Cut(bytes.TrimSpace(text), []byte(":"))
		if len(name) == 0 {
			if size >= 0 {
				break
			}
			continue
		}
		if ok && textproto.CanonicalMIMEHeaderKey(string(name)) == "Content-Length" {
			n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			if err != nil || n < 0 {
				return nil, fmt.Errorf("header of a message: invalid Content-Length %.20q", bytes.TrimSpace(value))
			}
			size = n
		}
		if line > 100 {
			return nil, errors.New("header of a message: too long")
		}
	}
	if size > maxMessage {
		if _, err := io.CopyN(io.Discard, c.in, int64(size)); err != nil {
			return nil, fmt.Errorf("a message of %d bytes: %w", size, noEOF(err))
		}
		return nil, &rpcError{codeInvalidRequest, fmt.Sprintf("a message of %d bytes is larger than the limit of %d", size, maxMessage)}
	}
	// Memory is allocated as the data arrives, not as the header claims.
	var body bytes.Buffer
	if _, err := io.CopyN(&body, c.in, int64(size)); err != nil {
		return nil, fmt.Errorf("a message of %d bytes: %w", size, noEOF(err))
	}
	m := new(message)
	if err := json.Unmarshal(body.Bytes(), m); err != nil {
		return nil, &rpcError{codeParse, "invalid JSON-RPC message: " + err.Error()}
	}
	if m.Version != "2.0" {
		return nil, &rpcError{codeInvalidRequest, "the message is not JSON-RPC 2.0"}
	}
	return m, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// write sends a message.
func (c *conn) write(m *message) error {
	m.Version = "2.0"
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err = fmt.Fprintf(c.out, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return err
}

// respond answers a request.
func (c *conn) respond(id json.RawMessage, result any, err error) error {
	m := &message{ID: id}
	if err == nil {
		m.Result, err = json.Marshal(result)
	}
	if err != nil {
		m.Result, m.Error = nil, asRPC(err)
	}
	return c.write(m)
}

func asRPC(err error) *rpcError {
	var e *rpcError
	if errors.As(err, &e) {
		return e
	}
	return &rpcError{codeRequestFailed, err.Error()}
}

// notify sends a notification to the client.
func (c *conn) notify(method string, params any) error {
	body, err := json.Marshal(params)
	if err != nil {
		return err
	}
	return c.write(&message{Method: method, Params: body})
}
