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
	Stdin  io.Reader // nil: no standard input
	Stdout io.Writer // nil: discarded
	Stderr io.Writer // nil: discarded; with a terminal everything goes to Stdout
	// Terminal is the terminal of the command; nil: none.
	Terminal *Terminal
}

// A Terminal is the terminal of a command in a container.
type Terminal struct {
	Sizes <-chan TerminalSize // the initial size, and then each change
}

// A TerminalSize is a size in characters.
type TerminalSize struct{ Width, Height uint16 }

// An ExitError means that a command has exited with a status other than 0.
type ExitError struct{ Status int }

func (e *ExitError) Error() string { return fmt.Sprintf("exit status %d", e.Status) }

// A StartError means that a command could not be started, for example because the
// container does not have the program.
type StartError struct {
	Place  Place
	Args   []string
	Reason string // the message of the node
}

func (e *StartError) Error() string {
	return fmt.Sprintf("cannot run %s in %s: %s", strings.Join(e.Args, " "), e.Place, e.Reason)
}

// Exec runs a command in a container, and returns when it has ended. The error is
// an *ExitError if it has failed, or a *StartError if it did not start. If ctx is
// cancelled, the connection is closed, and a command without a terminal may keep running.
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
	case errors.Unwrap(err) != nil: // reading the message of the node failed
		return fmt.Errorf("the connection to %s is lost: %w", at, err)
	}
	// The message of the node, which the library returns unchanged.
	reason := err.Error()
	for cut := true; cut; { // each server on the way adds this prefix
		reason, cut = strings.CutPrefix(reason, "Internal error occurred: ")
	}
	return &StartError{at, c.Args, reason}
}

// executor runs commands over a websocket, or otherwise over SPDY, where a lost
// connection looks like a command that has succeeded.
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

// sizes adapts the sizes of a terminal to the library.
type sizes <-chan TerminalSize

// Next waits for the next size; nil: there are no more.
func (s sizes) Next() *remotecommand.TerminalSize {
	size, ok := <-s
	if !ok {
		return nil
	}
	return &remotecommand.TerminalSize{Width: size.Width, Height: size.Height}
}
