// Package inspect shows environments: their status, logs, events and history, the changes of
// a deploy, and missing permissions. An [Inspector] reads from a cluster; the other types are
// data to be displayed or written as JSON. The package changes nothing and does not need
// Helm.
package inspect

import (
	"fmt"

	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// An Inspector reads the environments of one cluster, and changes nothing. It is safe for
// concurrent use.
type Inspector struct {
	cluster *observe.Cluster
	caches  observe.Caches
}

// New returns an Inspector. It makes no requests.
func New(config *rest.Config) (*Inspector, error) {
	c, err := observe.NewCluster(config, nil)
	if err != nil {
		return nil, fmt.Errorf("the configuration of the cluster: %w", err)
	}
	return &Inspector{cluster: c}, nil
}
