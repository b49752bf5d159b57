package plan

import "iter"

// An Exposure describes how a port is reached at its Kubernetes Service and its Ingress.
// Its zero value is a Service of type ClusterIP with the number of the port.
type Exposure struct {
	Service     int               `json:"service,omitempty"`     // the port of the Kubernetes Service; 0: the number of the port
	Kind        ServiceKind       `json:"kind,omitempty"`        // of the Kubernetes Service; empty: ClusterIP
	NodePort    int               `json:"node_port,omitempty"`   // the port of the nodes; 0: Kubernetes chooses it
	Path        string            `json:"path,omitempty"`        // the path of the Ingress; empty: all
	TLS         *TLS              `json:"tls,omitempty"`         // of the Ingress; nil: none
	Annotations map[string]string `json:"annotations,omitempty"` // of the Ingress if the port is public, otherwise of the Kubernetes Service
}

// ServicePort returns the port at which other services reach p.
func (p Port) ServicePort() int {
	if p.Service != 0 {
		return p.Service
	}
	return p.Number
}

// A ServiceKind is a kind of Kubernetes Service: its type, or headless.
type ServiceKind string

// The kinds of Kubernetes Services.
const (
	ClusterIP    ServiceKind = "ClusterIP"
	LoadBalancer ServiceKind = "LoadBalancer"
	NodePort     ServiceKind = "NodePort"
	Headless     ServiceKind = "headless" // ClusterIP, with None as its address: its name resolves to the pods
)

// Outside reports whether a Kubernetes Service of this kind is reached from outside of
// the cluster.
func (k ServiceKind) Outside() bool { return k == LoadBalancer || k == NodePort }

// A TLS names the Secret with the certificate of a host: the keys tls.crt and tls.key.
type TLS struct {
	Name   string     `json:"name,omitempty"`   // of a Kubernetes Secret that somebody else creates, such as cert-manager
	Secret *SecretRef `json:"secret,omitempty"` // instead of Name; its key is empty
}

// Certificates yields the references of [Service.SecretRefs] that only an Ingress uses: no
// pod depends on their values.
func (s *Service) Certificates() iter.Seq2[string, SecretRef] {
	return func(yield func(string, SecretRef) bool) {
		for _, p := range s.Workload.Ports {
			if p.TLS == nil || p.TLS.Secret == nil {
				continue
			}
			for _, key := range []string{"tls.crt", "tls.key"} {
				if !yield("tls of port "+p.Name, SecretRef{Name: p.TLS.Secret.Name, Key: key}) {
					return
				}
			}
		}
	}
}
