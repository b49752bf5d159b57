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

// A Look is what it takes to see how environments stand, and to change what is
// kept of them: the state and the cluster, without builder and registry.
type Look struct {
	Store     runtime.Store
	Locker    runtime.Locker
	Inspector *inspect.Inspector // of the cluster; nil: nothing shows it
	Config    *rest.Config       // of the cluster, for what reaches into its pods
}

// Runtime returns a runtime for what only reads and writes the state, such as
// Skip, Clone or Cancel.
func (l *Look) Runtime() *runtime.Runtime {
	return &runtime.Runtime{Store: l.Store, Locker: l.Locker}
}

// OpenLook opens the cluster that opts name. Unless that is the local one it does
// not ask whether it answers: the first request tells, see Explain.
func OpenLook(ctx context.Context, opts Options) (*Look, error) {
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
	return &Look{Store: s, Locker: s, Inspector: shown, Config: config}, nil
}

// Explain makes an *UnavailableError of an error that says that the cluster did
// not answer.
func (l *Look) Explain(err error) error {
	var request *url.Error
	var network net.Error
	if errors.As(err, &request) || errors.As(err, &network) {
		return noCluster(err, afterNoAnswer(err))
	}
	return err
}
