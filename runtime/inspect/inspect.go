// Package inspect shows environments: their status, logs, events and history, what a
// deploy would change, and which rights are missing. An [Inspector] reads a cluster; the
// rest is data that is shown or written as JSON. Nothing in it changes anything, and
// nothing in it needs Helm.
package inspect

import (
	"fmt"

	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// An Inspector shows the environments of one cluster, and changes nothing. It is safe
// for concurrent use.
type Inspector struct {
	cluster *observe.Cluster
	caches  observe.Caches
}

// New returns an Inspector. It asks no server.
func New(config *rest.Config) (*Inspector, error) {
	c, err := observe.NewCluster(config, nil)
	if err != nil {
		return nil, fmt.Errorf("the configuration of the cluster: %w", err)
	}
	return &Inspector{cluster: c}, nil
}
