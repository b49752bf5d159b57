package reach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/klog/v2"
)

// A Command is what runs in a container.
type Command struct {
	Args   []string
	Stdin  io.Reader // nil: it has none
	Stdout io.Writer // nil: nobody reads it
	Stderr io.Writer // nil: nobody reads it; with a terminal everything goes to Stdout
	// Terminal is the terminal that the command has; nil: it has none.
	Terminal *Terminal
}

// A Terminal is the one that a command in a container has.
type Terminal struct {
	Sizes <-chan TerminalSize // its size, and then each change; once it is closed there are no more
}

// A TerminalSize is in characters.
type TerminalSize struct{ Width, Height uint16 }

// An ExitError says that a command has ended with another status than 0.
type ExitError struct{ Status int }

func (e *ExitError) Error() string { return fmt.Sprintf("exit status %d", e.Status) }

// A StartError says that a command could not be started, as when the container
// has no such program.
type StartError struct {
	Place  Place
	Args   []string
	Reason string // as the node tells
}

func (e *StartError) Error() string {
	return fmt.Sprintf("cannot run %s in %s: %s", strings.Join(e.Args, " "), e.Place, e.Reason)
}

// Exec runs a command in a container, and returns when it has ended. The error is
// an *ExitError if it has failed, or a *StartError if it did not start. If ctx ends
// the connection does, and a command without a terminal may go on.
func (n *Namespace) Exec(ctx context.Context, at Place, c Command) error {
	address := n.stream(at.Pod, "exec").VersionedParams(&corev1.PodExecOptions{
		Container: at.Container, Command: c.Args, TTY: c.Terminal != nil,
		Stdin: c.Stdin != nil, Stdout: c.Stdout != nil, Stderr: c.Stderr != nil && c.Terminal == nil,
	}, scheme.ParameterCodec).URL()
	answer := &answer{}
	executor, err := executor(n.config, address, answer)
	if err != nil {
		return err
	}
	opts := remotecommand.StreamOptions{Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr}
	if c.Terminal != nil {
		opts.Tty, opts.Stderr, opts.TerminalSizeQueue = true, nil, sizes(c.Terminal.Sizes)
	}
	err = executor.StreamWithContext(klog.NewContext(ctx, klog.Logger{}), opts)
	var exit utilexec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit):
		return &ExitError{exit.ExitStatus()}
	case answer.status != http.StatusSwitchingProtocols:
		return answer.error(err, at.Pod)
	case errors.Unwrap(err) != nil: // of reading what the node tells
		return fmt.Errorf("the connection to %s is lost: %w", at, err)
	}
	// The node has told why, in a message that the library gives as it is.
	reason := err.Error()
	for cut := true; cut; { // each server on the way puts that before it
		reason, cut = strings.CutPrefix(reason, "Internal error occurred: ")
	}
	return &StartError{at, c.Args, reason}
}

// executor runs commands over a websocket, or else over SPDY, where a connection
// that is lost looks like a command that has succeeded.
func executor(config *rest.Config, address *url.URL, answer *answer) (remotecommand.Executor, error) {
	config = rest.CopyConfig(config)
	config.Wrap(answer.of)
	websocket, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, address.String())
	if err != nil {
		return nil, err
	}
	spdy, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, address)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(websocket, spdy, noWebsocket)
}

// sizes are the sizes of a terminal, as the library wants them.
type sizes <-chan TerminalSize

// Next waits for the next size; nil: there are no more.
func (s sizes) Next() *remotecommand.TerminalSize {
	size, ok := <-s
	if !ok {
		return nil
	}
	return &remotecommand.TerminalSize{Width: size.Width, Height: size.Height}
}
