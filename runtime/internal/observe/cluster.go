// Package observe reads what a cluster shows of releases, without Helm: the connection,
// watches that several readers share, the revisions that Helm's Secrets tell of, and what
// keeps pods from getting ready. It is what showing an environment and waiting for a
// release have in common.
package observe

import (
	"context"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
)

const (
	// The server has its own limits, which are fair among all who ask it. Ours
	// only keeps a mistake from becoming a flood.
	requestsPerSecond = 1000
	requestsAtOnce    = 2000
	// requestTime bounds one request that is no watch. Admission webhooks may
	// take 30 s.
	requestTime = 60 * time.Second
	// AnswerTime is how long a cluster may take to show that it is there.
	AnswerTime = 10 * time.Second
)

// A Cluster is the connection to one cluster.
type Cluster struct {
	Config   *rest.Config
	Client   *http.Client         // for requests
	Typed    kubernetes.Interface // for requests
	Watching kubernetes.Interface // for watches, which last
	Metadata metadata.Interface
}

// NewCluster returns the connection that config describes. It asks no server. The
// warnings of the server go to warn; nil: to nobody.
func NewCluster(config *rest.Config, warn rest.WarningHandlerWithContext) (*Cluster, error) {
	if warn == nil {
		warn = rest.NoWarnings{}
	}
	config = rest.CopyConfig(config)
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(requestsPerSecond, requestsAtOnce)
	config.WarningHandlerWithContext = warn
	config.UserAgent = rest.DefaultKubernetesUserAgent()
	config.Timeout = 0
	forever, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	config.Timeout = requestTime
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Config: config, Client: client}
	binary := rest.CopyConfig(config)
	binary.ContentType = "application/vnd.kubernetes.protobuf"
	binary.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	if c.Typed, err = kubernetes.NewForConfigAndClient(binary, client); err != nil {
		return nil, err
	}
	lasting := rest.CopyConfig(binary)
	lasting.Timeout = 0
	if c.Watching, err = kubernetes.NewForConfigAndClient(lasting, forever); err != nil {
		return nil, err
	}
	if c.Metadata, err = metadata.NewForConfigAndClient(metadata.ConfigFor(config), client); err != nil {
		return nil, err
	}
	return c, nil
}

// Away returns why the cluster does not answer, or nil if it does.
func (c *Cluster) Away(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, AnswerTime)
	defer stop()
	err := c.Typed.Discovery().RESTClient().Get().AbsPath("/version").MaxRetries(0).Do(ctx).Error()
	if !Unreachable(err) {
		return nil
	}
	return err
}

var secretsResource = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// SecretsMetadata returns the metadata of the Secrets of a namespace.
func (c *Cluster) SecretsMetadata(namespace string) metadata.ResourceInterface {
	return c.Metadata.Resource(secretsResource).Namespace(namespace)
}
