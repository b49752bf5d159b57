package plan

import "time"

// A Workload is what a service runs: all that a generated chart is made of.
type Workload struct {
	Ports     []Port            `json:"ports,omitempty"`
	Env       []EnvVar          `json:"env,omitempty"` // sorted by name
	Command   []string          `json:"command,omitempty"`
	Args      []string          `json:"args,omitempty"`
	Replicas  int               `json:"replicas"`
	Resources *Resources        `json:"resources,omitempty"`
	Health    *Health           `json:"health,omitempty"`
	Volumes   []Volume          `json:"volumes,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Job       *JobSpec          `json:"job,omitempty"`      // set if the service is a JOB
	Database  *DatabaseSpec     `json:"database,omitempty"` // set if the service is a DATABASE
}

// A Port is one port that a service listens on.
type Port struct {
	Number   int    `json:"number"`
	Name     string `json:"name"` // default "port-<number>"; at most 15 characters, as Kubernetes wants
	Protocol string `json:"protocol"`
	Public   bool   `json:"public,omitempty"` // reached from outside through an Ingress
	Host     string `json:"host,omitempty"`   // of the Ingress
}

// An EnvVar is one environment variable: text or a secret.
type EnvVar struct {
	Name   string     `json:"name"`
	Value  string     `json:"value,omitempty"`
	Secret *SecretRef `json:"secret,omitempty"`
}

// Resources are what a container asks for and may use, as Kubernetes
// quantities such as "500m" or "1Gi". Empty fields are not set.
type Resources struct {
	CPU         string `json:"cpu,omitempty"`
	Memory      string `json:"memory,omitempty"`
	CPULimit    string `json:"cpu_limit,omitempty"`
	MemoryLimit string `json:"memory_limit,omitempty"`
}

// A Health is a check of whether a service is ready: exactly one of Path,
// Command and neither (a connection to Port) is meant by Kind.
type Health struct {
	Kind    HealthKind `json:"kind"`
	Path    string     `json:"path,omitempty"`    // of an HTTP check
	Port    int        `json:"port,omitempty"`    // of an HTTP or TCP check; 0 only where the service has no port
	Command []string   `json:"command,omitempty"` // of a command check
}

// A HealthKind is a way to check health.
type HealthKind string

// The ways to check health.
const (
	HealthHTTP    HealthKind = "http"
	HealthTCP     HealthKind = "tcp"
	HealthCommand HealthKind = "command"
)

// A Volume is storage that outlives pods.
type Volume struct {
	Name string `json:"name"`
	Path string `json:"path"`
	Size string `json:"size"` // a Kubernetes quantity
}

// A JobSpec says when a job runs and how often it is tried.
type JobSpec struct {
	Schedule string `json:"schedule,omitempty"` // cron; empty: once per deploy of its moment
	On       string `json:"on"`                 // "deploy", "stop" or "delete"
	Retries  int    `json:"retries"`
}

// A DatabaseSpec says which database a service is.
type DatabaseSpec struct {
	Engine  string `json:"engine"` // such as "postgresql"
	Version string `json:"version"`
	Storage string `json:"storage"` // a Kubernetes quantity
}

// A Duration marshals as text such as "5m0s".
type Duration time.Duration

// MarshalText writes d as [time.Duration.String] does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what [time.ParseDuration] reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}
