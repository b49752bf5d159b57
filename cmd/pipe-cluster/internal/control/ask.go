package control

import (
	"context"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// Ask returns nil if the API server of the cluster reports that it is ready.
func Ask(ctx context.Context, d home.Dir) error {
	c, err := clientcmd.BuildConfigFromFlags("", d.Kubeconfig())
	if err != nil {
		return err
	}
	api, err := kubernetes.NewForConfig(c)
	if err != nil {
		return err
	}
	return api.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}
