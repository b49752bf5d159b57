// Package simulate simulates a node, which only reports that it runs pods.
package simulate

import (
	"context"
	"fmt"
	goruntime "runtime"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	nodestage "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	heartbeat "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podstage "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/client/clientset/versioned"
	"sigs.k8s.io/kwok/pkg/config"
	"sigs.k8s.io/kwok/pkg/kwok/controllers"
	"sigs.k8s.io/kwok/pkg/utils/client"
)

// Node is a simulated node. Its pods immediately get an address and become Ready, whatever their image
// is; pods of Jobs complete.
type Node struct {
	Name       string
	Address    string // shown as its address; nothing listens there
	PodCIDR    string
	Kubeconfig string
}

// parallel is how many pods can change their state concurrently.
const parallel = 16

// Start creates the node and maintains it until the context ends.
func (n Node) Start(ctx context.Context) error {
	if err := n.start(ctx); err != nil {
		return fmt.Errorf("simulate node %s: %w", n.Name, err)
	}
	return nil
}

func (n Node) start(ctx context.Context) error {
	set, err := client.NewClientset("", n.Kubeconfig)
	if err != nil {
		return err
	}
	cfg, err := set.ToRESTConfig()
	if err != nil {
		return err
	}
	typed, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	untyped, err := rest.RESTClientFor(cfg)
	if err != nil {
		return err
	}
	stages, err := versioned.NewForConfig(cfg)
	if err != nil {
		return err
	}
	dynamic, err := set.ToDynamicClient()
	if err != nil {
		return err
	}
	mapper, err := set.ToRESTMapper()
	if err != nil {
		return err
	}
	local, err := lifecycle()
	if err != nil {
		return err
	}
	if err := n.register(ctx, typed); err != nil {
		return err
	}
	kwok, err := controllers.NewController(controllers.Config{
		Clock:                      clock.RealClock{},
		DynamicClient:              dynamic,
		RESTClient:                 untyped,
		RESTMapper:                 mapper,
		TypedClient:                typed,
		TypedKwokClient:            stages,
		ImpersonatingDynamicClient: set.ToImpersonatingDynamicClient(),
		ImpersonatingTypedClient:   set.ToImpersonatingTypedClient(),
		ManageSingleNode:           n.Name,
		CIDR:                       n.PodCIDR,
		NodeIP:                     n.Address,
		NodeName:                   n.Name,
		LocalStages:                local,
		PodPlayStageParallelism:    parallel,
		NodePlayStageParallelism:   1,
		NodeLeaseDurationSeconds:   40,
		NodeLeaseParallelism:       1,
		PodsOnNodeSyncParallelism:  1,
		// The same after a restart: with another name, it would have to wait until the lease of the
		// dead process expires.
		ID: "pipe-cluster",
	})
	if err != nil {
		return err
	}
	return kwok.Start(ctx)
}

// lifecycle returns the stages of the node and its pods, by kind.
func lifecycle() (map[internalversion.StageResourceRef][]*internalversion.Stage, error) {
	all := map[internalversion.StageResourceRef][]*internalversion.Stage{}
	for _, text := range []string{
		nodestage.DefaultNodeInit, heartbeat.DefaultNodeHeartbeatWithLease,
		podstage.DefaultPodReady, podstage.DefaultPodComplete, podstage.DefaultPodDelete,
	} {
		s, err := config.UnmarshalWithType[*internalversion.Stage](text)
		if err != nil {
			return nil, err
		}
		all[s.Spec.ResourceRef] = append(all[s.Spec.ResourceRef], s)
	}
	return all, nil
}

// register creates the node's object, with enough capacity for any pods of a test.
func (n Node) register(ctx context.Context, api kubernetes.Interface) error {
	room := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("10k"),
		corev1.ResourceMemory:           resource.MustParse("100Ti"),
		corev1.ResourceEphemeralStorage: resource.MustParse("100Ti"),
		corev1.ResourcePods:             resource.MustParse("10k"),
	}
	_, err := api.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.Name,
			Labels: map[string]string{
				corev1.LabelHostname:   n.Name,
				corev1.LabelOSStable:   "linux",
				corev1.LabelArchStable: goruntime.GOARCH,
				"type":                 "kwok",
			},
			Annotations: map[string]string{"kwok.x-k8s.io/node": "fake"},
		},
		Status: corev1.NodeStatus{Capacity: room, Allocatable: room},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
