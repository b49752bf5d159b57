package chart

import "github.com/pipelinefile/pipe/plan"

type port struct {
	Name        string            `json:"name"`
	Number      int               `json:"number"`
	Protocol    string            `json:"protocol"`
	Public      bool              `json:"public"`
	Host        string            `json:"host,omitempty"`
	Service     int               `json:"service,omitempty"`
	Kind        plan.ServiceKind  `json:"kind,omitempty"`
	NodePort    int               `json:"nodePort,omitempty"`
	Path        string            `json:"path,omitempty"`
	TLS         string            `json:"tls,omitempty"` // the name of a Secret
	Annotations map[string]string `json:"annotations,omitempty"`
}

func newPort(p plan.Port, keyOf KeyOf) port {
	out := port{
		Name: p.Name, Number: p.Number, Protocol: p.Protocol, Public: p.Public, Host: p.Host,
		Service: p.Service, Kind: p.Kind, NodePort: p.NodePort, Path: p.Path, Annotations: p.Annotations,
	}
	if p.TLS != nil {
		out.TLS = p.TLS.Name
		if p.TLS.Secret != nil {
			out.TLS, _ = keyOf(*p.TLS.Secret)
		}
	}
	return out
}
