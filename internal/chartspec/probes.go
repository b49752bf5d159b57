package chartspec

// The keys of the checks of a service.

func health() Key {
	return Key{Name: "health", Help: "`health=`: the `startupProbe`, once a second until the first success, and then the `readinessProbe`, every five seconds. " +
		"`kind` is `http` (with `path`, `port` and `headers`), `tcp` (`port`), `grpc` (`port` and `service`) or `command` (`command`). The other keys are those of Kubernetes: " +
		"`timeoutSeconds` is of both, `initialDelaySeconds` of the first one, `periodSeconds` and `failureThreshold` of the `readinessProbe`.", Shape: check(), only: []Workload{Service}}
}

func startup() Key {
	return Key{Name: "startup", Help: "`startup=`: the `startupProbe`, written as `health`, instead of the one that `health` makes. Without `failureThreshold` it may take `startupSeconds`.",
		Shape: check(), Argument: "startup", only: []Workload{Service}}
}

func liveness() Key {
	return Key{Name: "liveness", Help: "`liveness=`: the `livenessProbe`, written as `health`: every ten seconds. Let it check nothing that depends on others.",
		Shape: check(), Argument: "liveness", only: []Workload{Service}}
}

func check() Shape {
	return Shape{Type: Object, Fields: []Key{
		{Name: "kind", Shape: enum("http", "tcp", "grpc", "command")}, {Name: "path", Shape: str}, {Name: "port", Shape: Shape{Type: Integer}}, {Name: "command", Shape: words()},
		{Name: "headers", Shape: dict()}, {Name: "service", Shape: str},
		{Name: "periodSeconds", Shape: number(1, 0)}, {Name: "timeoutSeconds", Shape: number(1, 0)}, {Name: "failureThreshold", Shape: number(1, 0)}, {Name: "initialDelaySeconds", Shape: number(0, 0)},
	}}
}
