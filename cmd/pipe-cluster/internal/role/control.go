package role

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/control"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/dns"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/simulate"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/volume"
)

// controlPlane runs etcd, the API server, the controllers, the scheduler, the provisioner of volumes,
// and the simulated node if the node is not real.
func controlPlane(ctx context.Context, d home.Dir, c home.Config, r *report) error {
	plane := control.Plane{Dir: d, Config: c, Doing: r.doing}
	plane.Usable = func(ctx context.Context, client *rest.Config) error {
		api, err := kubernetes.NewForConfig(client)
		if err != nil {
			return err
		}
		_, err = api.StorageV1().StorageClasses().Create(ctx, volume.Class(), metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make the default StorageClass: %w", err)
		}
		p := volume.Provisioner{API: api, Node: control.NodeName}
		if c.Node == home.Real {
			p.Root = d.Volumes()
			service, err := control.ServiceIP(c.ServiceCIDR, control.DNS)
			if err != nil {
				return err
			}
			if err := dns.Publish(ctx, api, service, c.Address); err != nil {
				return err
			}
			r.ready()
			return p.Run(ctx)
		}
		r.doing("waiting for the simulated node")
		n := simulate.Node{Name: control.NodeName, Address: c.Address, PodCIDR: c.PodCIDR, Kubeconfig: d.Kubeconfig()}
		if err := n.Start(ctx); err != nil {
			return err
		}
		if err := nodeReady(ctx, api); err != nil {
			return err
		}
		r.ready()
		return p.Run(ctx)
	}
	return plane.Run(ctx)
}

// nodeReady waits until pods can be scheduled to the node.
func nodeReady(ctx context.Context, api kubernetes.Interface) error {
	for {
		w, err := api.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{
			FieldSelector: fields.OneTermEqualSelector("metadata.name", control.NodeName).String(),
		})
		if err != nil {
			return fmt.Errorf("watch node %s: %w", control.NodeName, err)
		}
		for e := range w.ResultChan() {
			if n, ok := e.Object.(*corev1.Node); ok && schedulable(n) {
				w.Stop()
				return nil
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func schedulable(n *corev1.Node) bool {
	for _, t := range n.Spec.Taints {
		if t.Effect != corev1.TaintEffectPreferNoSchedule {
			return false
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
