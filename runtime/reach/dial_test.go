package reach_test

import (
	"context"
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// TestDial connects to ports of pods, over websockets and over SPDY.
func TestDial(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.serves("web", "web-1")
	ns := n.reach()
	for _, spdyOnly := range []bool{false, true} {
		n.set(func(n *node) { n.spdyOnly = spdyOnly })
		c, err := ns.Dial(t.Context(), "web-1", 8080)
		must(t, err)
		check(t, "the answer", says(t, c, "hello"), "web-1: hello")
		check(t, "the second answer", says(t, c, "again"), "web-1: again")
		check(t, "the address", c.RemoteAddr().String(), "web-1")
		must(t, c.Close())
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a closed connection can be read")
		}
	}

	c, err := ns.Dial(t.Context(), "web-1", 9)
	must(t, err)
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil || err.Error() != "nothing listens on port 9 in pod web-1" {
		t.Errorf("Read = %v, want that nothing listens", err)
	}

	c, err = ns.Dial(t.Context(), "web-1", 8080)
	must(t, err)
	defer c.Close()
	check(t, "the answer", says(t, c, "hello"), "web-1: hello")
	n.breakWay()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that was lost can be read")
	}
	n.mendWay()

	n.set(func(n *node) { n.deny = true })
	if _, err := ns.Dial(t.Context(), "web-1", 8080); !apierrors.IsForbidden(err) {
		t.Errorf("Dial = %v, want that it is forbidden", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := ns.Dial(ctx, "web-1", 8080); err == nil || err.Error() != "enough" {
		t.Errorf("Dial = %v, want the cause", err)
	}
}
