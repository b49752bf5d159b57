package supervise

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/node"
)

// podGrace is the grace period of pods when the cluster is stopped.
const podGrace = 10 * time.Second

// stage is a started child.
type stage struct {
	stop context.CancelFunc
	done <-chan struct{}
}

// real runs a cluster with a real node on this machine.
func (s *supervisor) real(ctx context.Context) (err error) {
	s.doing("making the machine ready")
	if err := node.Up(ctx, s.dir, s.config); err != nil {
		return err
	}
	stages := map[string]stage{}
	// Children are stopped even after the context has ended, and real waits until they have.
	life := context.WithoutCancel(ctx)
	start := func(c child) {
		ctx, stop := context.WithCancel(life)
		stages[c.name] = stage{stop, s.start(ctx, c)}
	}
	defer func() { s.stopReal(life, stages) }()

	s.doing("starting containerd")
	path, args, err := node.Containerd(s.dir)
	if err != nil {
		return err
	}
	start(child{name: "containerd", path: path, args: args, env: proxies(os.Environ()), grace: 10 * time.Second, probe: func(ctx context.Context) error {
		if err := node.Answers(ctx, s.dir); err != nil {
			return err
		}
		return node.ImportPause(ctx, s.dir)
	}})
	start(s.role("control-plane", 20*time.Second))
	if err := s.await(ctx, "containerd", "control-plane"); err != nil {
		return err
	}
	s.doing("starting the kubelet, kube-proxy and DNS")
	start(s.role("kube-proxy", 5*time.Second))
	start(s.role("dns", 5*time.Second))
	start(s.role("kubelet", 10*time.Second))
	if err := s.await(ctx, "kubelet"); err != nil {
		return err
	}
	s.doing("waiting for the cluster's DNS to answer")
	return s.watch(ctx, "containerd", "control-plane", "kubelet", "kube-proxy", "dns")
}

// proxies returns the proxy variables of the user, which the supervisor has under other names.
func proxies(env []string) []string {
	var all []string
	for _, v := range env {
		if p, ok := strings.CutPrefix(v, ProxyPrefix); ok {
			all = append(all, p)
		}
	}
	return all
}

// stopReal stops the started children: the kubelet first, so that it does not restart what is being
// stopped.
func (s *supervisor) stopReal(ctx context.Context, stages map[string]stage) {
	doing := func(text string) {
		s.update(func(st *home.State) { st.Phase, st.Doing = home.Stopping, text })
		s.logf("%s", text)
	}
	stop := func(names ...string) {
		for _, n := range names {
			if st, ok := stages[n]; ok {
				st.stop()
			}
		}
		for _, n := range names {
			if st, ok := stages[n]; ok {
				<-st.done
			}
		}
	}
	doing("stopping the kubelet")
	stop("kubelet")
	if _, ok := stages["containerd"]; ok {
		if err := node.StopPods(ctx, s.dir, podGrace, doing); err != nil {
			s.logf("stop pods: %v; they are killed", err)
		}
	}
	doing("stopping the control plane")
	stop("kube-proxy", "dns")
	stop("control-plane")
	doing("stopping containerd")
	stop("containerd")
	doing("removing interfaces, mounts and cgroups")
	if err := node.Sweep(ctx, s.dir); err != nil {
		s.logf("%v", err)
	}
}
