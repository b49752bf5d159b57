package deploy

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// A cluster holds what all releases share for one cluster: the HTTP client, the
// capabilities of the server, the known kinds.
type cluster struct {
	*observe.Cluster
	discovery discovery.CachedDiscoveryInterface
	mapper    meta.ResettableRESTMapper

	mu      sync.Mutex
	clients map[schema.GroupVersion]resource.RESTClient // of objects without types
	caps    *chartutil.Capabilities
	forgot  time.Time // when the capabilities were last invalidated
}

func newCluster(config *rest.Config) (*cluster, error) {
	conn, err := observe.NewCluster(config, warnings{})
	if err != nil {
		return nil, err
	}
	found, err := discovery.NewDiscoveryClientForConfigAndClient(conn.Config, conn.Client)
	if err != nil {
		return nil, err
	}
	c := &cluster{
		Cluster:   conn,
		discovery: memory.NewMemCacheClient(found),
		clients:   make(map[schema.GroupVersion]resource.RESTClient),
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(c.discovery)
	return c, nil
}

// mapping returns the REST mapping of a kind. Kinds may be added while we run,
// by CRDs of other releases: an unknown kind is discovered again, but not for
// each object of that kind.
func (c *cluster) mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	const forget = 5 * time.Second
	m, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if !meta.IsNoMatchError(err) {
		return m, err
	}
	c.mu.Lock()
	again := time.Since(c.forgot) > forget
	if again {
		c.forgot = time.Now()
		c.mapper.Reset()
	}
	c.mu.Unlock()
	if again {
		m, err = c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	if meta.IsNoMatchError(err) {
		text := fmt.Errorf("the cluster does not know the kind %s of %s: what brings it (a CRD) has to be installed before: %w", gvk.Kind, gvk.GroupVersion(), err)
		err = &runtime.ChartError{Err: text, Kind: gvk.Kind}
	}
	return m, err
}

// awaitListed waits until the server lists a kind.
func (c *cluster) awaitListed(ctx context.Context, kind schema.GroupKind) error {
	for {
		_, err := c.mapper.RESTMapping(kind)
		if !meta.IsNoMatchError(err) {
			return err
		}
		c.mapper.Reset()
		if err := retry.Pause(ctx, retry.Interval); err != nil {
			return err
		}
	}
}

// clientFor returns the client for objects of a group and version.
func (c *cluster) clientFor(gv schema.GroupVersion) (resource.RESTClient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client, ok := c.clients[gv]; ok {
		return client, nil
	}
	client, err := c.newClient(gv, c.Client)
	if err == nil {
		c.clients[gv] = client
	}
	return client, err
}

func (c *cluster) newClient(gv schema.GroupVersion, client *http.Client) (resource.RESTClient, error) {
	config := rest.CopyConfig(c.Config)
	config.ContentConfig = resource.UnstructuredPlusDefaultContentConfig()
	config.GroupVersion = &gv
	config.APIPath = "/apis"
	if gv.Group == "" {
		config.APIPath = "/api"
	}
	return rest.RESTClientForConfigAndClient(config, client)
}

// capabilities returns the capabilities of the server, which are queried once.
func (c *cluster) capabilities() (*chartutil.Capabilities, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.caps != nil {
		return c.caps, nil
	}
	version, err := c.discovery.ServerVersion()
	if err != nil {
		return nil, err
	}
	// An unavailable API service must not prevent a deploy.
	kinds, err := action.GetVersionSet(c.discovery)
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, err
	}
	c.caps = &chartutil.Capabilities{
		APIVersions: kinds,
		KubeVersion: chartutil.KubeVersion{Version: version.GitVersion, Major: version.Major, Minor: version.Minor},
		HelmVersion: chartutil.DefaultCapabilities.HelmVersion,
	}
	return c.caps, nil
}

// A getter gives Helm access to a cluster.
type getter struct{ *cluster }

var _ action.RESTClientGetter = getter{}

func (g getter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.Config), nil }

func (g getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.discovery, nil
}

func (g getter) ToRESTMapper() (meta.RESTMapper, error) { return g.mapper, nil }

// warnings passes warnings of the server to the caller of the request.
type warnings struct{}

type warnKey struct{}

// withWarnings returns a context for requests whose warnings go to warn.
func withWarnings(ctx context.Context, warn func(text string)) context.Context {
	return context.WithValue(ctx, warnKey{}, warn)
}

func (warnings) HandleWarningHeaderWithContext(ctx context.Context, code int, _ string, text string) {
	if warn, ok := ctx.Value(warnKey{}).(func(string)); ok && code == 299 && text != "" {
		warn(text)
	}
}

// explain explains an error of the cluster, and how to fix it.
func (d *Deployer) explain(ctx context.Context, err error) error { return d.cluster.Explain(ctx, err) }
