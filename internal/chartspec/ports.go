package chartspec

// ports is the key of the ports of a service.
func ports() Key {
	return Key{
		Name: "ports",
		Help: "`ports=`: ports of the container and of a Service. A `public` one is reached through an Ingress, at `host`. " +
			"Others reach it at the port `service` of the Service, by default at `number`. The `kind` of the Service is its type, or `headless`; `nodePort` is its port of the nodes. " +
			"Ports of several kinds have a Service of type ClusterIP, and one more for each other kind. " +
			"The Ingress sends `path` of the host to the port, and has the certificate in the Secret `tls`. " +
			"The `annotations` are those of the Ingress if the port is public, and otherwise of the Service.",
		Shape: objects(
			Key{Name: "name", Shape: Shape{Type: String, Longest: 15}, Required: true},
			Key{Name: "number", Shape: number(1, 65535), Required: true},
			Key{Name: "protocol", Shape: enum("TCP", "UDP", "SCTP")},
			Key{Name: "public", Shape: flag},
			Key{Name: "host", Shape: str},
			Key{Name: "service", Shape: number(1, 65535)},
			Key{Name: "kind", Shape: enum("ClusterIP", "LoadBalancer", "NodePort", "headless")},
			Key{Name: "nodePort", Shape: number(1, 65535)},
			Key{Name: "path", Shape: str},
			Key{Name: "tls", Shape: str},
			Key{Name: "annotations", Shape: dict()},
		),
		only: []Workload{Service},
	}
}
