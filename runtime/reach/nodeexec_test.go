package reach_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	streamspdy "k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// A process is a command that runs in a container.
type process struct {
	Pod, Container string
	Args           []string
	TTY            bool
	Stdin          io.Reader // nil: none
	Stdout, Stderr io.Writer // nil: discarded
	Sizes          *json.Decoder

	status io.WriteCloser
	closes []io.Closer
}

// runsHere runs a process on this machine.
func runsHere(p *process) error {
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Stdin, p.Stdout, p.Stderr
	return cmd.Run()
}

// execute does what a kubelet and the API server do to run a command.
func (n *node) execute(w http.ResponseWriter, r *http.Request, pod string) {
	query := r.URL.Query()
	p := &process{Pod: pod, Container: query.Get("container"), Args: query["command"], TTY: query.Get("tty") == "true"}
	has := func(name string) bool { return query.Get(name) == "true" }
	n.mu.Lock()
	run, spdyOnly := n.run, n.spdyOnly
	n.mu.Unlock()
	var closed func()
	switch {
	case !websocket.IsWebSocketUpgrade(r):
		if _, err := httpstream.Handshake(r, w, []string{remotecommand.StreamProtocolV4Name}); err != nil {
			return
		}
		streams := make(chan httpstream.Stream, 5)
		conn := streamspdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
			streams <- s
			return nil
		})
		want := 1
		for _, name := range []string{"stdin", "stdout", "stderr", "tty"} {
			if has(name) {
				want++
			}
		}
		for range want {
			s := <-streams
			p.closes = append(p.closes, s)
			switch s.Headers().Get(corev1.StreamType) {
			case corev1.StreamTypeError:
				p.status = s
			case corev1.StreamTypeStdin:
				p.Stdin = s
			case corev1.StreamTypeStdout:
				p.Stdout = s
			case corev1.StreamTypeStderr:
				p.Stderr = s
			case corev1.StreamTypeResize:
				p.Sizes = json.NewDecoder(s)
			}
		}
		closed = func() { <-conn.CloseChan() }
	case spdyOnly:
		http.Error(w, "no websockets here", http.StatusBadRequest)
		return
	default:
		kind := func(is bool, kind wsstream.ChannelType) wsstream.ChannelType {
			if !is {
				return wsstream.IgnoreChannel
			}
			return kind
		}
		conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{remotecommand.StreamProtocolV5Name: {Binary: true, Channels: []wsstream.ChannelType{
			kind(has("stdin"), wsstream.ReadChannel), kind(has("stdout"), wsstream.WriteChannel), kind(has("stderr"), wsstream.WriteChannel),
			wsstream.WriteChannel, kind(p.TTY, wsstream.ReadChannel),
		}}})
		_, streams, err := conn.Open(w, r)
		if err != nil {
			return
		}
		if p.status = streams[3]; has("stdin") {
			p.Stdin = streams[0]
		}
		if has("stdout") {
			p.Stdout = streams[1]
		}
		if has("stderr") {
			p.Stderr = streams[2]
		}
		p.Sizes = json.NewDecoder(streams[4])
		p.closes = append(p.closes, conn)
		closed = func() {}
	}
	p.end(run(p))
	closed()
}

// end reports how the process has ended.
func (p *process) end(err error) {
	status := metav1.Status{Status: metav1.StatusSuccess}
	var exit interface{ ExitCode() int }
	switch {
	case errors.As(err, &exit):
		status = metav1.Status{
			Status: metav1.StatusFailure, Reason: remotecommand.NonZeroExitCodeReason, Message: "command terminated with non-zero exit code",
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: remotecommand.ExitCodeCauseType, Message: strconv.Itoa(exit.ExitCode())}}},
		}
	case errors.Is(err, errVanished):
		for _, c := range p.closes {
			c.Close()
		}
		return
	case err != nil:
		status = metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError, Message: fmt.Sprintf("Internal error occurred: %v", err)}
	}
	_ = json.NewEncoder(p.status).Encode(status)
	for _, c := range p.closes {
		c.Close()
	}
}

// errVanished simulates a node that vanishes while a process runs.
var errVanished = errors.New("vanished")
