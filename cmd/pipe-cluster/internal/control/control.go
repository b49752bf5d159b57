// Package control runs the control plane of a cluster in one process: etcd, kube-apiserver,
// kube-controller-manager and kube-scheduler.
package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	logsapi "k8s.io/component-base/logs/api/v1"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// portTime is how long the port of the previous API server may be in use before another one is
// chosen, which invalidates copies of the kubeconfig.
const portTime = 10 * time.Second

// Plane configures a control plane.
type Plane struct {
	Dir    home.Dir
	Config home.Config
	// Doing is called with what the control plane is waiting for.
	Doing func(string)
	// Usable is called when objects can be created and pods scheduled, with a client that has all
	// permissions and no rate limit. It returns when its context ends. If it returns an error, the
	// control plane ends.
	Usable func(context.Context, *rest.Config) error
}

// Run runs the control plane until the context ends, or until a component fails, whose error it
// returns. It stops everything before it returns. It can be called only once in a process, because
// Kubernetes has global variables.
func (p *Plane) Run(ctx context.Context) error {
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	free, enough := context.WithTimeout(ctx, portTime)
	l, err := listen(free, &p.Config, func() {
		p.Doing(fmt.Sprintf("waiting until port %d is free", p.Config.Port))
	})
	enough()
	if err != nil {
		return err
	}
	if err := errors.Join(Identity(p.Dir, p.Config), p.Dir.WriteConfig(p.Config)); err != nil {
		l.Close()
		return err
	}
	p.Doing("starting etcd")
	etcd, err := startEtcd(ctx, p.Dir, p.Config.Node == home.Real)
	if err != nil {
		l.Close()
		return err
	}
	defer etcd.Close()

	// Clients are stopped before the API server, so that they do not wait for it, and the API server
	// before etcd.
	failed := make(chan error, 8)
	server := newGroup(context.WithoutCancel(ctx), failed)
	defer server.stop(10 * time.Second)
	clients := newGroup(ctx, failed)
	defer clients.stop(10 * time.Second)
	go func() {
		select {
		case err := <-etcd.Err():
			failed <- fmt.Errorf("etcd: %w", err)
		case <-server.ctx.Done():
		}
	}()

	p.Doing("starting the API server")
	run, err := apiServer(server.ctx, p.Dir, p.Config, l)
	if err != nil {
		return err
	}
	server.run("kube-apiserver", run)
	client, err := clientcmd.BuildConfigFromFlags("", p.Dir.Kubeconfig())
	if err != nil {
		return err
	}
	client.QPS = -1 // no limit
	api, err := kubernetes.NewForConfig(client)
	if err != nil {
		return err
	}
	if err := wait(ctx, failed, func() error {
		return api.RESTClient().Get().AbsPath("/readyz").Timeout(5 * time.Second).Do(ctx).Error()
	}); err != nil {
		return fmt.Errorf("kube-apiserver is not ready: %w", err)
	}

	p.Doing("starting the controllers and the scheduler")
	for name, prepare := range map[string]func() (func(context.Context) error, error){
		"kube-controller-manager": func() (func(context.Context) error, error) {
			return controllerManager(clients.ctx, p.Dir, p.Config)
		},
		"kube-scheduler": func() (func(context.Context) error, error) { return podScheduler(clients.ctx, p.Dir) },
	} {
		run, err := prepare()
		if err != nil {
			return err
		}
		clients.run(name, run)
	}
	// A pod needs its ServiceAccount, which is the last object that the controllers create.
	if err := wait(ctx, failed, func() error {
		_, err := api.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	}); err != nil {
		return fmt.Errorf("the default ServiceAccount is not there: %w", err)
	}
	clients.run("local services", func(ctx context.Context) error { return p.Usable(ctx, client) })

	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// wait polls until ask returns nil, a component has failed, or 90 seconds have passed.
func wait(ctx context.Context, failed <-chan error, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for {
		last := ask()
		if last == nil {
			return nil
		}
		if apierrors.IsUnauthorized(last) {
			return last // a retry cannot repair certificates
		}
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%w; the last answer was: %w", context.Cause(ctx), last)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
