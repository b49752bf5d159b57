package plan

// Running describes how the pods of a service run. Its zero value is a fixed number of
// pods with the defaults of the chart.
type Running struct {
	Autoscale      *Autoscale        `json:"autoscale,omitempty"`       // nil: the pods are Workload.Replicas
	Daemon         bool              `json:"daemon,omitempty"`          // a pod on each node, instead of replicas
	ServiceAccount string            `json:"service_account,omitempty"` // one that exists; empty: its own
	RBAC           []Rule            `json:"rbac,omitempty"`            // what its own account may do in the Kubernetes API
	Disruption     *Disruption       `json:"disruption,omitempty"`      // nil: any number of pods may be evicted
	Strategy       *Strategy         `json:"strategy,omitempty"`        // nil: the default of the chart
	Spread         []Spread          `json:"spread,omitempty"`
	Network        *Network          `json:"network,omitempty"`     // nil: everyone may connect
	Annotations    map[string]string `json:"annotations,omitempty"` // of its pods
	PreStop        *Health           `json:"pre_stop,omitempty"`    // a command or an HTTP request before a container ends
	Termination    Duration          `json:"termination,omitempty"` // between the signal to end and being killed, in whole seconds; 0: the default of the chart
}

// An Autoscale changes the number of pods, so that their average use of CPU and memory is
// as given: a percentage of what they ask for, such as "80%", or a quantity.
type Autoscale struct {
	Min    int    `json:"min"`
	Max    int    `json:"max"`
	CPU    string `json:"cpu,omitempty"`
	Memory string `json:"memory,omitempty"`
}

// A Rule allows verbs on resources of the Kubernetes API.
type Rule struct {
	Groups    []string `json:"groups"` // "" is the core group
	Resources []string `json:"resources"`
	Verbs     []string `json:"verbs"`
	Names     []string `json:"names,omitempty"`   // of objects; none: all
	Cluster   bool     `json:"cluster,omitempty"` // in all namespaces, instead of the environment's
}

// A Disruption limits how many pods may be evicted at a time: a number, or a percentage
// such as "50%". One field is set.
type Disruption struct {
	MinAvailable   string `json:"min_available,omitempty"`
	MaxUnavailable string `json:"max_unavailable,omitempty"`
}

// A Strategy is how pods are replaced by those of a new revision. Surge and Unavailable
// are numbers, or percentages such as "25%"; empty: the default of Kubernetes.
type Strategy struct {
	Recreate    bool   `json:"recreate,omitempty"`    // all pods end before new ones start
	Surge       string `json:"surge,omitempty"`       // how many pods there may be more
	Unavailable string `json:"unavailable,omitempty"` // how many pods there may be less
}

// A Spread distributes pods evenly.
type Spread struct {
	Over     string `json:"over"`               // a label of nodes, such as topology.kubernetes.io/zone
	Required bool   `json:"required,omitempty"` // a pod is not started where it would make the distribution uneven
}

// A Network allows connections to a service. Its public ports, and those of kind
// LoadBalancer and NodePort, are open to everyone.
type Network struct {
	From []string `json:"from"` // services of the environment
}

// A Cron has options of a job with a schedule.
type Cron struct {
	TimeZone    string   `json:"time_zone,omitempty"`   // such as Europe/Berlin; empty: that of the cluster
	Concurrency string   `json:"concurrency,omitempty"` // Forbid, Allow or Replace; empty: Forbid
	History     *int     `json:"history,omitempty"`     // how many ended Jobs are kept, of each result; nil: the default of Kubernetes
	Deadline    Duration `json:"deadline,omitempty"`    // how late it may start, in whole seconds; 0: any time
}
