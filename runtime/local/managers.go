package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// The program pipe-secrets has the clients of managers of secrets. It reads one request from its standard input and
// writes one response to its standard output; its sources are the documentation of both.
const (
	managersProgram  = "pipe-secrets"
	managersProtocol = 1
	managersTimeout  = 30 * time.Second // for each document
)

type ask struct {
	Reference string `json:"reference,omitempty"`
	Dir       string `json:"dir,omitempty"`
	SOPS      []byte `json:"sops,omitempty"`
	Format    string `json:"format,omitempty"`
}

type answer struct {
	Value []byte `json:"value"`
	Error string `json:"error"`
}

// askManagers runs pipe-secrets and returns an answer for each ask. Its standard error is not shown: the clients of the
// managers decide what it contains.
func askManagers(ctx context.Context, opts Options, asks []ask) ([]answer, error) {
	program, err := findProgram(opts.Executable, managersProgram)
	if err != nil {
		return nil, runtime.Advise(fmt.Errorf("secrets from managers and files that are encrypted by SOPS need %w", err),
			runtime.Advice{Do: "put pipe-secrets beside pipe or on the PATH: \"make secrets\" builds it from the sources of pipe"})
	}
	for i := range asks {
		if asks[i].Dir == "" {
			asks[i].Dir = opts.Dir
		}
	}
	in, err := json.Marshal(map[string]any{"version": managersProtocol, "workspace": opts.Dir, "timeout": managersTimeout.String(), "ask": asks})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Stdin = bytes.NewReader(in)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var response struct {
		Version int      `json:"version"`
		Error   string   `json:"error"`
		Answers []answer `json:"answers"`
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", program, err)
	case json.Unmarshal(out, &response) != nil, response.Version != managersProtocol, response.Error == "" && len(response.Answers) != len(asks):
		return nil, fmt.Errorf("%s: unknown response; pipe and pipe-secrets must be of the same version", program)
	case response.Error != "":
		return nil, fmt.Errorf("%s: %s", program, response.Error)
	}
	for _, a := range response.Answers {
		if a.Error == "" && len(a.Value) == 0 {
			return nil, errors.New(program + ": a value is empty")
		}
	}
	return response.Answers, nil
}

// managed fetches values of managers that nobody has fetched when they are needed, such as those of a service that
// a Pipelinefile has got in watch mode.
type managed struct {
	from Secrets
	opts Options
	mu   *sync.Mutex // guards from
}

func (m managed) Secret(ctx context.Context, ref plan.SecretRef) (runtime.Secret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.from.fetch(ctx, m.opts, []plan.SecretRef{ref}); err != nil {
		return runtime.Secret{}, err
	}
	return m.from.Secret(ctx, ref)
}
