package plan

import "time"

// A Workload is what a service runs: all that a generated chart is made of.
type Workload struct {
	Ports     []Port            `json:"ports,omitempty"`     // the first is that of .port and .url (L6)
	Env       []EnvVar          `json:"env,omitempty"`       // in the order declared, those of secrets= first: Kubernetes expands $(NAME) of an earlier one
	Command   []string          `json:"command,omitempty"`   // in place of the image's entry point
	Args      []string          `json:"args,omitempty"`      // in place of the image's arguments
	Replicas  int               `json:"replicas"`            // pods; default 1
	Resources *Resources        `json:"resources,omitempty"` // nil: none are set
	Health    *Health           `json:"health,omitempty"`    // nil: ready as soon as its containers run
	Volumes   []Volume          `json:"volumes,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`   // of its objects
	Job       *JobSpec          `json:"job,omitempty"`      // set if the service is a JOB
	Database  *DatabaseSpec     `json:"database,omitempty"` // set if the service is a DATABASE
}

// A Port is one port that a service listens on.
type Port struct {
	Number   int    `json:"number"`           // 1 to 65535
	Name     string `json:"name"`             // default "port-<number>"; at most 15 characters, as Kubernetes wants
	Protocol string `json:"protocol"`         // "TCP", "UDP" or "SCTP"; default TCP
	Public   bool   `json:"public,omitempty"` // reached from outside through an Ingress
	Host     string `json:"host,omitempty"`   // of the Ingress
	Local    int    `json:"local,omitempty"`  // the port of this machine that is forwarded to it; 0: any. It changes nothing that is deployed
}

// An EnvVar is one environment variable: text or a secret.
type EnvVar struct {
	Name   string     `json:"name"`
	Value  string     `json:"value,omitempty"`  // empty if it is a secret
	Secret *SecretRef `json:"secret,omitempty"` // nil: it is text
}

// Resources are what a container asks for and may use, as Kubernetes
// quantities such as "500m" or "1Gi". Empty fields are not set.
type Resources struct {
	CPU         string `json:"cpu,omitempty"`          // asked for
	Memory      string `json:"memory,omitempty"`       // asked for
	CPULimit    string `json:"cpu_limit,omitempty"`    // at most
	MemoryLimit string `json:"memory_limit,omitempty"` // at most
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
	Name string `json:"name"` // unique in the service
	Path string `json:"path"` // where it is mounted
	Size string `json:"size"` // a Kubernetes quantity
}

// A JobSpec says when a job runs and how often it is tried.
type JobSpec struct {
	Schedule string `json:"schedule,omitempty"` // cron; empty: once per deploy of its moment
	On       Moment `json:"on"`
	Retries  int    `json:"retries"` // how often it is tried again
}

// A Moment is the action on an environment that runs a job.
type Moment string

// The moments of jobs. A job on stop or on delete runs before its stage is stopped or
// deleted.
const (
	OnDeploy Moment = "deploy"
	OnStop   Moment = "stop"
	OnDelete Moment = "delete"
)

// A DatabaseSpec says which database a service is.
type DatabaseSpec struct {
	Engine  string `json:"engine"`  // such as "postgresql"
	Version string `json:"version"` // of the engine, such as "17"
	Storage string `json:"storage"` // a Kubernetes quantity
}

// A Sync copies changed files into running containers in watch mode, in place of a
// build (W6). Nothing else reads it.
type Sync struct {
	Path    string   `json:"path"`              // a file or directory, slash-separated, below the workspace's root
	To      string   `json:"to"`                // where it is in the container: an absolute path
	Run     []string `json:"run,omitempty"`     // a command that runs in the container after files were copied
	On      []string `json:"on,omitempty"`      // paths below Path after whose change alone Run runs; none: after each
	Restart bool     `json:"restart,omitempty"` // the container is restarted, so that its program starts with the changed files
	Pos     Pos      `json:"pos"`               // of the call of sync()
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
