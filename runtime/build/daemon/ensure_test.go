//go:build linux

package daemon

import (
	"context"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
)

func TestEnsure(t *testing.T) {
	b := Background{Home: t.TempDir()}
	t.Cleanup(func() {
		if err := b.Process().Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	began := time.Now()
	a, err := b.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v in %v", a, time.Since(began))
	c, err := client.New(t.Context(), a.Addr)
	if err != nil {
		t.Fatal(err)
	}
	st := llb.Scratch().File(llb.Mkfile("/x", 0o644, []byte("x")))
	def, err := st.Marshal(t.Context(), llb.LinuxAmd64)
	if err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	if _, err := c.Solve(t.Context(), def, client.SolveOpt{}, nil); err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(began))
}
