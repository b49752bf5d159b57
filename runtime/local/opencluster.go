package local

import (
	"context"
	"errors"
	"net"
	"net/url"

	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

// A Cluster provides access to the environments in a cluster, their records and what runs,
// without builder and registry.
type Cluster struct {
	runtime.Environments
	Inspector *inspect.Inspector // of the cluster; nil: nothing shows it
	Config    *rest.Config       // of the cluster, for what reaches into its pods
}

// OpenCluster opens the cluster that opts name. Unless that is the local one, it does
// not check that the cluster responds: the first request does, see Explain.
func OpenCluster(ctx context.Context, opts Options) (*Cluster, error) {
	config, _, err := find(ctx, opts)
	if err != nil {
		return nil, err
	}
	s, err := stateOf(config, opts)
	if err != nil {
		return nil, err
	}
	shown, err := inspect.New(config)
	if err != nil {
		return nil, err
	}
	return &Cluster{Environments: runtime.Environments{Store: s, Locker: s}, Inspector: shown, Config: config}, nil
}

// Explain converts an error that means that the cluster did not respond to an
// *UnavailableError.
func (l *Cluster) Explain(err error) error {
	var request *url.Error
	var network net.Error
	if errors.As(err, &request) || errors.As(err, &network) {
		return noCluster(err, afterNoAnswer(err))
	}
	return err
}
