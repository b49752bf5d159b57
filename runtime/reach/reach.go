// Package reach accesses the running containers of an environment: it
// forwards local ports to services, runs commands, and copies changed files.
package reach

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// A Namespace provides access to the pods in the namespace of one environment. Everything
// that is created from it shares one watch of the pods. Its methods may be called
// concurrently.
type Namespace struct {
	name   string
	config *rest.Config
	client kubernetes.Interface
	times  times

	mu     sync.Mutex
	pods   *pods   // nil: not watched yet; guarded by mu
	syncer *Syncer // nil: none; guarded by mu
}

// Open returns the namespace with that name in the cluster of config. It makes no
// requests. The caller must close it after everything that was created from it.
func Open(config *rest.Config, namespace string) (*Namespace, error) {
	config = rest.CopyConfig(config)
	config.Timeout = 0 // streams and watches do not end by themselves
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Namespace{name: namespace, config: config, client: client, times: usualTimes}, nil
}

// watch returns the pods of the namespace, which are watched from the first call
// until Close.
func (n *Namespace) watch() *pods {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pods == nil {
		n.pods = watchPods(n.client, n.name)
	}
	return n.pods
}

// takes reports whether a pod can accept connections: it is ready, and it has all
// changes since its image was built.
func (n *Namespace) takes(p *corev1.Pod) bool {
	n.mu.Lock()
	s := n.syncer
	n.mu.Unlock()
	return ready(p) && (s == nil || s.complete(p))
}

// Close stops the watch of the pods.
func (n *Namespace) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pods != nil {
		n.pods.stop()
		n.pods = nil
	}
}

// stream returns the request for a stream to a pod.
func (n *Namespace) stream(pod, subresource string) *rest.Request {
	return n.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(n.name).Name(pod).SubResource(subresource)
}
