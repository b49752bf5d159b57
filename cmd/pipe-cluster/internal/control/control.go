// Package control is the control plane of a cluster, in one process: etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler.
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

// Plane is a control plane to be run.
type Plane struct {
	Dir    home.Dir
	Config home.Config
	// Doing is told what is being waited for.
	Doing func(string)
	// Usable runs when objects can be made and pods scheduled, with a client that may do everything and as often as it
	// likes. It returns when its context ends, or with an error that ends the control plane.
	Usable func(context.Context, *rest.Config) error
}

// Run runs the control plane until the context ends, or returns the error of what failed first. Nothing is left running
// behind it, but it may be called once only in a process, because Kubernetes keeps global variables.
func (p *Plane) Run(ctx context.Context) error {
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	l, err := listen(&p.Config)
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

	// Clients end before the API server, so that they do not wait for it, and the API server before etcd.
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
	// A pod needs its ServiceAccount, and that is the last thing that the controllers make.
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

// wait asks until there is no error any more, something failed, or a minute and a half is over.
func wait(ctx context.Context, failed <-chan error, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for {
		last := ask()
		if last == nil {
			return nil
		}
		if apierrors.IsUnauthorized(last) {
			return last // certificates do not heal
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
