package control

import (
	"context"
	"fmt"
	"path/filepath"

	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// clientFlags returns the flags for a component without leader election, without a server, and with
// high rate limits for requests to the API server in this process: with the default limits, the first
// start takes 8 s instead of 3 s.
func clientFlags(kubeconfig string) []string {
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--secure-port=0",
		"--leader-elect=false",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
	}
}

// controllerManager prepares kube-controller-manager.
func controllerManager(ctx context.Context, d home.Dir, c home.Config) (func(context.Context) error, error) {
	pki := func(name string) string { return filepath.Join(d.PKI(), name) }
	args := append(clientFlags(pki(controllersKubeconfig)),
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+pki("sa.key"),
		"--root-ca-file="+pki("ca.crt"),
		"--cluster-signing-cert-file="+pki("ca.crt"),
		"--cluster-signing-key-file="+pki("ca.key"),
		"--cluster-cidr="+c.PodCIDR,
		"--service-cluster-ip-range="+c.ServiceCIDR,
		"--allocate-node-cidrs=false", // the only node has all addresses
		"--concurrent-deployment-syncs=16",
		"--concurrent-replicaset-syncs=16",
		"--concurrent-endpoint-syncs=16",
		"--concurrent-service-endpoint-syncs=16",
		"--terminated-pod-gc-threshold=1000",
	)
	o, err := options.NewKubeControllerManagerOptions()
	if err != nil {
		return nil, fmt.Errorf("kube-controller-manager: %w", err)
	}
	known, off, aliases := manager.KnownControllers(), manager.ControllersDisabledByDefault(), manager.ControllerAliases()
	sets := o.Flags(known, off, aliases)
	o.ParsedFlags = &sets
	if err := parse(sets, args); err != nil {
		return nil, fmt.Errorf("kube-controller-manager: %w", err)
	}
	if err := o.ComponentGlobalsRegistry.Set(); err != nil {
		return nil, fmt.Errorf("kube-controller-manager: %w", err)
	}
	config, err := o.Config(ctx, known, off, aliases)
	if err != nil {
		return nil, fmt.Errorf("kube-controller-manager: %w", err)
	}
	return func(ctx context.Context) error { return manager.Run(ctx, config.Complete()) }, nil
}

// podScheduler prepares kube-scheduler.
func podScheduler(ctx context.Context, d home.Dir) (func(context.Context) error, error) {
	o := scheduleroptions.NewOptions()
	if err := parse(*o.Flags, clientFlags(filepath.Join(d.PKI(), schedulerKubeconfig))); err != nil {
		return nil, fmt.Errorf("kube-scheduler: %w", err)
	}
	if err := o.ComponentGlobalsRegistry.Set(); err != nil {
		return nil, fmt.Errorf("kube-scheduler: %w", err)
	}
	config, s, err := scheduler.Setup(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("kube-scheduler: %w", err)
	}
	return func(ctx context.Context) error { return scheduler.Run(ctx, config, s) }, nil
}
