package inspect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// An unread is the log of a container that could not be read completely.
type unread struct {
	node, pod, container string
	err                  error
}

func (u unread) Error() string {
	return fmt.Sprintf("log of container %s of pod %s: %v", u.container, u.pod, u.err)
}

// gone reports whether there is no log any more, or not yet: the pod was deleted in the
// meantime, or its container is about to be restarted.
func (u unread) gone() bool { return apierrors.IsNotFound(u.err) || apierrors.IsBadRequest(u.err) }

// refused reports whether the server has refused to return the log, so that a retry is
// useless.
func (u unread) refused() bool {
	var said apierrors.APIStatus
	return errors.As(u.err, &said) && u.ofNode() == ""
}

// ofNode returns the reason why the API server cannot get the log from the node, or "" if
// that is not the problem.
func (u unread) ofNode() string {
	var said apierrors.APIStatus
	if !errors.As(u.err, &said) || said.Status().Code < http.StatusInternalServerError {
		return ""
	}
	text := observe.OneLine(u.err.Error())
	if _, reason, ok := strings.Cut(text, `": `); ok && strings.HasPrefix(text, `Get "`) {
		return reason // without the address of the node
	}
	return text
}

// noWay reports whether the API server cannot connect to the node, so that all other logs of
// the node fail too.
func (u unread) noWay() bool { return strings.Contains(u.ofNode(), "dial") }

// An UnreadError lists the logs that could not be read because of their nodes.
type UnreadError struct {
	Nodes []string // sorted by name
	text  string
}

func (e *UnreadError) Error() string { return e.text }

// unreadError returns an error about the logs that could not be read, or nil if there are
// none.
func (ins *Inspector) unreadError(ctx context.Context, list []unread, all int) error {
	if len(list) == 0 {
		return nil
	}
	nodes := make(map[string][]unread)
	for _, u := range list {
		if u.ofNode() == "" {
			return fmt.Errorf("log of container %s of pod %s: %w", u.container, u.pod, ins.cluster.Explain(ctx, u.err))
		}
		nodes[u.node] = append(nodes[u.node], u)
	}
	names := slices.Sorted(maps.Keys(nodes))
	var parts []string
	for _, name := range names {
		parts = append(parts, fromNode(nodes[name]))
	}
	return &UnreadError{names, fmt.Sprintf("%d of %d logs could not be read: %s; all others are shown", len(list), all, strings.Join(parts, "; "))}
}

// fromNode describes the logs that could not be read from a node.
func fromNode(list []unread) string {
	const shown = 3
	var pods []string
	for _, u := range list {
		if !slices.Contains(pods, u.pod) {
			pods = append(pods, u.pod)
		}
	}
	slices.Sort(pods)
	text := strings.Join(pods[:min(len(pods), shown)], ", ")
	if more := len(pods) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	kind := "pod"
	if len(pods) > 1 {
		kind = "pods"
	}
	return fmt.Sprintf("of %s %s on node %s: %s", kind, text, list[0].node, list[0].ofNode())
}
