package reach_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime/reach"
)

// TestExec: the input, output and exit status of a command are those of the caller.
func TestExec(t *testing.T) {
	t.Parallel()
	for _, spdy := range []bool{false, true} {
		t.Run(fmt.Sprintf("spdy=%v", spdy), func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			n.set(func(n *node) { n.spdyOnly = spdy })
			n.pod("web", "web-1")
			n.is("web-1", true)
			ns := n.reach()
			at, err := ns.Place(t.Context(), "web", "", "")
			must(t, err)
			check(t, "the place", at.String(), "container main of pod web-1")
			run := func(stdin string, args ...string) (stdout, stderr string, err error) {
				var out, errs bytes.Buffer
				c := reach.Command{Args: args, Stdout: &out, Stderr: &errs}
				if stdin != "" {
					c.Stdin = strings.NewReader(stdin)
				}
				err = ns.Exec(t.Context(), *at, c)
				return out.String(), errs.String(), err
			}
			out, errs, err := run("", "sh", "-c", `echo "$@"; echo oops >&2`, "sh", "a  b", "--", "")
			must(t, err)
			check(t, "standard output", out, "a  b -- \n")
			check(t, "standard error", errs, "oops\n")
			big := strings.Repeat("0123456789abcde\n", 1<<16)
			out, _, err = run(big, "cat")
			must(t, err)
			if out != big {
				t.Errorf("of %d bytes %d come back", len(big), len(out))
			}
			_, _, err = run("", "sh", "-c", "exit 42")
			var exit *reach.ExitError
			if !errors.As(err, &exit) || exit.Status != 42 {
				t.Errorf("exit 42 is %v", err)
			}
			_, _, err = run("", "/there/is/none")
			var start *reach.StartError
			if !errors.As(err, &start) || !cmp.Equal(start.Args, []string{"/there/is/none"}) {
				t.Errorf("a program that does not exist is %v", err)
			}
			check(t, "the message", fmt.Sprint(err), "cannot run /there/is/none in container main of pod web-1: fork/exec /there/is/none: no such file or directory")
		})
	}
}

// TestExecTerminal: a command with a terminal receives its size and each change.
func TestExecTerminal(t *testing.T) {
	t.Parallel()
	for _, spdy := range []bool{false, true} {
		t.Run(fmt.Sprintf("spdy=%v", spdy), func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			n.pod("web", "web-1")
			n.is("web-1", true)
			sizes := make(chan reach.TerminalSize, 1)
			sizes <- reach.TerminalSize{Width: 80, Height: 24}
			n.set(func(n *node) {
				n.spdyOnly = spdy
				n.run = func(p *process) error {
					for range 2 {
						var size reach.TerminalSize
						if err := p.Sizes.Decode(&size); err != nil {
							return err
						}
						fmt.Fprintf(p.Stdout, "%v %v %v; ", p.TTY, p.Stderr == nil, size)
						sizes <- reach.TerminalSize{Width: 100, Height: 30}
					}
					return nil
				}
			})
			var out bytes.Buffer
			must(t, n.reach().Exec(t.Context(), reach.Place{Pod: "web-1", Container: "main"}, reach.Command{
				Args: []string{"top"}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Terminal: &reach.Terminal{Sizes: sizes},
			}))
			check(t, "the output", out.String(), "true true {80 24}; true true {100 30}; ")
		})
	}
}

// TestExecFails: a lost connection, a refusal and a cancelled context are not exit statuses
// of the command.
func TestExecFails(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.pod("web", "web-1")
	n.is("web-1", true)
	ns := n.reach()
	at := reach.Place{Pod: "web-1", Container: "main"}
	started, mended := make(chan struct{}), make(chan struct{})
	n.set(func(n *node) {
		n.run = func(p *process) error {
			if p.Args[0] == "vanish" {
				n.breakWay()
				n.mendWay()
				close(mended)
				return errVanished
			}
			close(started)
			_, err := p.Stdin.Read(make([]byte, 1)) // until the connection ends
			return err
		}
	})
	var out bytes.Buffer
	err := ns.Exec(t.Context(), at, reach.Command{Args: []string{"vanish"}, Stdout: &out})
	var exit *reach.ExitError
	var start *reach.StartError
	if err == nil || errors.As(err, &exit) || errors.As(err, &start) || !strings.HasPrefix(err.Error(), "the connection to container main of pod web-1 is lost: ") {
		t.Errorf("a connection that is lost is %v", err)
	}
	<-mended // the next command needs the way
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	go func() {
		<-started
		stop(why)
	}()
	block, unblock := blockingReader(t)
	defer unblock()
	if err := ns.Exec(ctx, at, reach.Command{Args: []string{"sleep"}, Stdin: block, Stdout: &out}); !errors.Is(err, why) {
		t.Errorf("the end of the context is %v", err)
	}
	n.set(func(n *node) { n.deny = true })
	if err := ns.Exec(t.Context(), at, reach.Command{Args: []string{"id"}, Stdout: &out}); !apierrors.IsForbidden(err) {
		t.Errorf("a refusal is %v", err)
	}
}

// blockingReader returns a reader that blocks until unblock is called.
func blockingReader(t *testing.T) (r readerFunc, unblock func()) {
	t.Helper()
	over := make(chan struct{})
	return func([]byte) (int, error) {
		<-over
		return 0, context.Canceled
	}, func() { close(over) }
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestPlace: a ready pod of the service is preferred to a running one. An error about an
// unknown name lists the existing ones.
func TestPlace(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	ns := n.reach()
	place := func(pod, container string) (string, error) {
		at, err := ns.Place(t.Context(), "web", pod, container)
		if err != nil {
			return "", err
		}
		return fmt.Sprint(at, at.Others), nil
	}
	want := func(pod, container, want, wantErr string) {
		t.Helper()
		got, err := place(pod, container)
		check(t, "the place", got, want)
		if wantErr != "" || err != nil {
			check(t, "the error", fmt.Sprint(err), wantErr)
		}
	}
	want("", "", "", "web has no pod")
	n.pod("web", "web-1")
	want("", "", "container main of pod web-1 []", "")
	n.add(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web-2", Labels: map[string]string{"app.kubernetes.io/instance": "web"},
			Annotations: map[string]string{"kubectl.kubernetes.io/default-container": "app"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "proxy", Image: "i"}, {Name: "app", Image: "i"}}},
	})
	n.status("web-2", corev1.PodStatus{
		Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{
			{Name: "proxy", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
			{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
		},
	})
	want("", "", "container app of pod web-2 [proxy]", "")
	want("", "proxy", "container proxy of pod web-2 [app]", "")
	want("web-1", "", "container main of pod web-1 []", "")
	want("web-1", "proxy", "", `pod web-1 has no container "proxy"`)
	want("web-3", "", "", `web has no pod "web-3"`)
	_, err := place("web-3", "")
	var unknown *reach.UnknownError
	if !errors.As(err, &unknown) || !cmp.Equal(unknown.Candidates, []string{"web-1", "web-2"}) {
		t.Errorf("the error tells %+v", unknown)
	}
	n.terminate("web-2")
	want("", "", "container main of pod web-1 []", "")
	want("web-2", "", "container app of pod web-2 [proxy]", "")
	n.gone("web-2")
	n.status("web-1", corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
		{Name: "main", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}},
	}})
	want("", "", "", "no pod of web is running: web-1 (CrashLoopBackOff)")
	n.status("web-1", corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{
		{Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}}},
	}})
	want("", "", "", "no pod of web is running: web-1 (Succeeded)")
	_, err = place("", "")
	var none *reach.NoPodError
	if !errors.As(err, &none) || !none.Ended() {
		t.Errorf("a pod that has ended is told as %v", err)
	}
}
