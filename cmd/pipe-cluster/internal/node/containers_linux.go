package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	goruntime "runtime"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// Containerd returns the command line of the cluster's own containerd.
func Containerd(d home.Dir) (path string, args []string, err error) {
	path, err = find("containerd")
	return path, []string{"--config", d.Path("node", "containerd.toml"), "--log-level", "warn"}, err
}

// dial connects to the cluster's containerd.
func dial(d home.Dir) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix://"+Socket(d), grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// Answers returns nil if containerd is ready to run pods.
func Answers(ctx context.Context, d home.Dir) error {
	conn, err := dial(d)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s, err := cri.NewRuntimeServiceClient(conn).Status(ctx, &cri.StatusRequest{})
	if err != nil {
		return err
	}
	for _, c := range s.Status.GetConditions() {
		// Other conditions do not matter, such as a setting that the next version will ignore.
		if !c.Status && (c.Type == cri.RuntimeReady || c.Type == cri.NetworkReady) {
			return fmt.Errorf("%s: %s", c.Type, c.Message)
		}
	}
	return nil
}

// ImportPause imports the image that every pod needs into containerd.
func ImportPause(ctx context.Context, d home.Dir) error {
	b, err := pauseArchive(goruntime.GOARCH)
	if err != nil {
		return err
	}
	ctr, err := find("ctr")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, ctr, "--address", Socket(d), "--namespace", "k8s.io", "images", "import", "-")
	cmd.Stdin = bytes.NewReader(b)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("import the pause image: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// StopPods ends all pods: containers are asked to end, and killed after the grace period. The kubelet
// must not be running, as it would restart them.
func StopPods(ctx context.Context, d home.Dir, grace time.Duration, doing func(string)) error {
	conn, err := dial(d)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, grace+20*time.Second)
	defer cancel()
	api := cri.NewRuntimeServiceClient(conn)
	containers, err := api.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{
		State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING},
	}})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	if n := len(containers.Containers); n > 0 {
		doing(fmt.Sprintf("stopping %d containers", n))
	}
	err1 := each(containers.Containers, func(c *cri.Container) error {
		_, err := api.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: c.Id, Timeout: int64(grace / time.Second)})
		return err
	})
	pods, err := api.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	if n := len(pods.Items); n > 0 {
		doing(fmt.Sprintf("removing %d pods", n))
	}
	err2 := each(pods.Items, func(p *cri.PodSandbox) error {
		if _, err := api.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.Id}); err != nil {
			return err
		}
		_, err := api.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.Id})
		return err
	})
	return errors.Join(err1, err2)
}

// each calls f for all elements concurrently and joins the errors.
func each[T any](all []T, f func(T) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, x := range all {
		wg.Go(func() { errs[i] = f(x) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
