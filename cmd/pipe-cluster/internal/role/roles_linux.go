package role

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	kubeproxyapp "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/control"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/dns"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

func roles() map[string]process {
	return map[string]process{
		"control-plane": controlPlane,
		"kubelet":       kubelet,
		"kube-proxy":    kubeProxy,
		"dns":           clusterDNS,
	}
}

// kubelet runs the pods.
func kubelet(ctx context.Context, d home.Dir, c home.Config, r *report) error {
	began := time.Now()
	config, err := clientcmd.BuildConfigFromFlags("", d.Kubeconfig())
	if err != nil {
		return err
	}
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	go func() {
		if renewed(ctx, api, began) == nil && nodeReady(ctx, api) == nil {
			r.ready()
		}
	}()
	return component(ctx, kubeletapp.NewKubeletCommand(ctx),
		"--config="+d.Path("node", "kubelet.json"),
		"--kubeconfig="+d.Path("pki", control.KubeletKubeconfig),
		"--root-dir="+d.Path("kubelet"),
		"--cert-dir="+d.Path("kubelet", "pki"),
		"--hostname-override="+control.NodeName,
		"--node-ip="+c.Address,
	)
}

// renewed waits until the lease of the node, if it has one, was renewed after the given time: the
// status in the node's object may be that of a kubelet that was killed.
func renewed(ctx context.Context, api kubernetes.Interface, after time.Time) error {
	for {
		l, err := api.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, control.NodeName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && l.Spec.RenewTime != nil && l.Spec.RenewTime.After(after) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// kubeProxy routes packets for a service's address to its pods.
func kubeProxy(ctx context.Context, d home.Dir, _ home.Config, r *report) error {
	r.ready() // the role of the DNS server checks whether it works
	return component(ctx, kubeproxyapp.NewProxyCommand(), "--config="+d.Path("node", "kube-proxy.json"))
}

// clusterDNS resolves the names of services.
func clusterDNS(ctx context.Context, d home.Dir, c home.Config, r *report) error {
	service, err := control.ServiceIP(c.ServiceCIDR, control.DNS)
	if err != nil {
		return err
	}
	kubernetesIP, err := control.ServiceIP(c.ServiceCIDR, control.API)
	if err != nil {
		return err
	}
	go func() {
		if dns.Wait(ctx, service, kubernetesIP) == nil {
			r.ready()
		}
	}()
	s := dns.Server{Address: c.Address, Kubeconfig: d.Kubeconfig(), Context: control.Name, ResolvConf: "/etc/resolv.conf"}
	return s.Run(ctx)
}

// component runs a command of Kubernetes. Not all commands end with the context, so the process ends
// without waiting for them.
func component(ctx context.Context, c *cobra.Command, args ...string) error {
	c.SetArgs(args)
	c.SilenceUsage = true
	ended := make(chan error, 1)
	go func() { ended <- c.ExecuteContext(ctx) }()
	select {
	case err := <-ended:
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = errors.New("it ended by itself")
		}
		return fmt.Errorf("%s: %w", c.Name(), err)
	case <-ctx.Done():
		return nil
	}
}
