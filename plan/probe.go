package plan

// A Probe describes how a check is made and how often. Zero values are the defaults of
// the chart.
type Probe struct {
	Headers  map[string]string `json:"headers,omitempty"`  // of an HTTP check
	Service  string            `json:"service,omitempty"`  // the name that a gRPC check asks for
	Period   Duration          `json:"period,omitempty"`   // between two checks, in whole seconds
	Timeout  Duration          `json:"timeout,omitempty"`  // of one check, in whole seconds
	Failures int               `json:"failures,omitempty"` // how many checks in a row have to fail
	Delay    Duration          `json:"delay,omitempty"`    // before the first check, in whole seconds
}

// Probes are the checks of a service besides [Workload.Health].
type Probes struct {
	Liveness *Health `json:"liveness,omitempty"` // restarts the container when it fails; nil: none
	Startup  *Health `json:"startup,omitempty"`  // until the first success; nil: as Health
}
