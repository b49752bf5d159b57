package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// protocol is the version of requests and responses.
const protocol = 1

// maxRequest limits the size of a request, in bytes.
const maxRequest = 64 << 20

// A request asks for values.
type request struct {
	Version   int    `json:"version"`
	Workspace string `json:"workspace"` // plain files are read inside of it only
	Timeout   string `json:"timeout"`   // for each document of a manager
	Ask       []ask  `json:"ask"`
}

// An ask asks for the value of a reference, or for the plain text of a file that is encrypted by SOPS.
type ask struct {
	Reference string `json:"reference,omitempty"` // such as ref+vault://secret/shop#/stripe-key
	Dir       string `json:"dir,omitempty"`       // what the path of a file in the reference is relative to

	SOPS   []byte `json:"sops,omitempty"`   // the encrypted file
	Format string `json:"format,omitempty"` // of the file: "yaml", "json" or "dotenv"
}

// A response has an answer for each ask of the request, in the same order.
type response struct {
	Version int      `json:"version"`
	Error   string   `json:"error,omitempty"` // the request cannot be answered at all
	Answers []answer `json:"answers,omitempty"`
}

// An answer is a value, which is never empty, or an error, which never contains a value.
type answer struct {
	Value []byte `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

// app has everything outside the process that the command uses.
type app struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	managers       map[string]manager
}

// run answers one request and returns the exit status: 0, or 1 if there is no response.
func (a *app) run(ctx context.Context) int {
	if len(a.args) > 0 {
		fmt.Fprintf(a.stderr, "pipe-secrets fetches the values of secrets for pipe, which starts it: it has no arguments.\nIt has clients for: %s\n",
			strings.Join(slices.Sorted(maps.Keys(a.managers)), ", "))
		return 1
	}
	out := response{Version: protocol}
	answers, err := a.answer(ctx)
	if err != nil {
		out.Error = err.Error()
	}
	out.Answers = answers
	if err := json.NewEncoder(a.stdout).Encode(out); err != nil {
		return 1
	}
	return 0
}

func (a *app) answer(ctx context.Context) ([]answer, error) {
	data, err := io.ReadAll(io.LimitReader(a.stdin, maxRequest+1))
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if len(data) > maxRequest {
		return nil, fmt.Errorf("the request has more than %d bytes", maxRequest)
	}
	var in request
	if json.Unmarshal(data, &in) != nil { // the error may quote the request
		return nil, errors.New("the request is not valid JSON")
	}
	if in.Version != protocol {
		return nil, fmt.Errorf("the request has version %d, but this program knows only version %d", in.Version, protocol)
	}
	timeout, err := time.ParseDuration(in.Timeout)
	if err != nil || timeout <= 0 {
		return nil, fmt.Errorf("%q is not a timeout", in.Timeout)
	}
	f := fetcher{managers: a.managers, hide: a.hide, workspace: in.Workspace, timeout: timeout}
	return f.fetch(ctx, in.Ask), nil
}

// hide removes the values of variables that are credentials of managers, such as VAULT_TOKEN: some servers and
// proxies repeat a request in their errors.
func (a *app) hide(text string) string {
	for _, v := range a.environ {
		name, value, _ := strings.Cut(v, "=")
		isSecret := slices.ContainsFunc([]string{"TOKEN", "SECRET", "PASSWORD", "KEY"}, func(word string) bool { return strings.Contains(name, word) })
		if isSecret && len(value) >= minCredential && !strings.HasSuffix(name, "_FILE") {
			text = strings.ReplaceAll(text, value, "REDACTED")
		}
	}
	return text
}

// minCredential is the length of the shortest value that [app.hide] removes, in bytes: shorter ones are parts of
// words.
const minCredential = 8
