// Package reach reaches into the running containers of an environment: it
// forwards local ports to services, runs commands, and copies changed files.
package reach

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// A Namespace is the namespace of one environment, whose pods are reached. What
// is made from it shares one watch of its pods. Its methods may be called
// concurrently.
type Namespace struct {
	name   string
	config *rest.Config
	client kubernetes.Interface
	times  times

	mu     sync.Mutex
	pods   *pods   // nil: nobody watches them yet; guarded by mu
	syncer *Syncer // nil: there is none; guarded by mu
}

// Open returns the namespace of that name in the cluster of config. It sends no
// request. The caller must close it after what was made from it.
func Open(config *rest.Config, namespace string) (*Namespace, error) {
	config = rest.CopyConfig(config)
	config.Timeout = 0 // streams and watches have no end of their own
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

// takes reports whether a pod can take connections: it is ready, and it has what
// was changed since its image.
func (n *Namespace) takes(p *corev1.Pod) bool {
	n.mu.Lock()
	s := n.syncer
	n.mu.Unlock()
	return ready(p) && (s == nil || s.complete(p))
}

// Close ends the watch of the pods.
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
