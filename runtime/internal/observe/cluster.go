// Package observe reads the state of releases in a cluster, without Helm: it contains the
// connection, shared watches, the revisions according to Helm's Secrets, and the reasons why
// pods do not become ready. It is shared by the code that shows an environment and the code
// that waits for a release.
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
	// The server has its own limits, which are fair to all clients. These limits only keep a
	// mistake from becoming a flood of requests.
	requestsPerSecond = 1000
	requestsAtOnce    = 2000
	// requestTime is the timeout of a request that is not a watch. Admission webhooks may
	// take 30 s.
	requestTime = 60 * time.Second
	// AnswerTime is the timeout for checking that a cluster can be reached.
	AnswerTime = 10 * time.Second
)

// A Cluster is the connection to one cluster.
type Cluster struct {
	Config   *rest.Config
	Client   *http.Client         // for requests
	Typed    kubernetes.Interface // for requests
	Watching kubernetes.Interface // for watches, without a timeout
	Metadata metadata.Interface
}

// NewCluster returns a connection with config. It makes no requests. Warnings of the server
// go to warn; nil: they are discarded.
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

// Away returns the error if the cluster does not answer, or nil if it does.
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
