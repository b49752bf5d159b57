package plan

import "time"

// A Workload describes what a service runs. Generated charts are based on it.
type Workload struct {
	Ports     []Port     `json:"ports,omitempty"`     // the first one is used for .port and .url (L6)
	Env       []EnvVar   `json:"env,omitempty"`       // in the order declared, those of secrets= first: Kubernetes expands $(NAME) only for earlier variables
	Command   []string   `json:"command,omitempty"`   // replaces the image's entry point
	Args      []string   `json:"args,omitempty"`      // replaces the image's arguments
	Replicas  int        `json:"replicas"`            // pods; default 1
	Resources *Resources `json:"resources,omitempty"` // nil: none are set
	Health    *Health    `json:"health,omitempty"`    // nil: ready when its containers run
	Volumes   []Volume   `json:"volumes,omitempty"`
	Files     []File     `json:"files,omitempty"` // sorted by path
	OtherVolumes
	Labels   map[string]string `json:"labels,omitempty"`   // added to its objects
	Job      *JobSpec          `json:"job,omitempty"`      // set if the service is a JOB
	Database *DatabaseSpec     `json:"database,omitempty"` // set if the service is a DATABASE
	PodContainers
	Probes
	Running
	Patches
}

// Kind returns the kind of the Kubernetes object that creates the pods in a generated
// chart: "Deployment", "StatefulSet", "DaemonSet", "Job" or "CronJob".
func (w *Workload) Kind() string {
	switch {
	case w.Job != nil && w.Job.Schedule != "":
		return "CronJob"
	case w.Job != nil:
		return "Job"
	case w.Database != nil:
		return "StatefulSet"
	case w.Daemon:
		return "DaemonSet"
	}
	return "Deployment"
}

// A Port is one port that a service listens on.
type Port struct {
	Number   int    `json:"number"`           // of the container: 1 to 65535
	Name     string `json:"name"`             // default "port-<number>"; at most 15 characters, as Kubernetes requires
	Protocol string `json:"protocol"`         // "TCP", "UDP" or "SCTP"; default TCP
	Public   bool   `json:"public,omitempty"` // whether it can be reached from outside through an Ingress
	Host     string `json:"host,omitempty"`   // the host of the Ingress
	Local    int    `json:"local,omitempty"`  // the local port that is forwarded to it; 0: any. It does not affect what is deployed
	Exposure
}

// An EnvVar is one environment variable. Its value is a string, a secret, or what EnvSource
// names.
type EnvVar struct {
	Name   string     `json:"name"`
	Value  string     `json:"value,omitempty"`  // empty if it is a secret
	Secret *SecretRef `json:"secret,omitempty"` // nil: the value is Value
	EnvSource
}

// Resources are the requests and limits of a container, as Kubernetes
// quantities such as "500m" or "1Gi". Empty fields are not set.
type Resources struct {
	CPU         string `json:"cpu,omitempty"`          // the request
	Memory      string `json:"memory,omitempty"`       // the request
	CPULimit    string `json:"cpu_limit,omitempty"`    // the limit
	MemoryLimit string `json:"memory_limit,omitempty"` // the limit
}

// A Health checks whether a service is ready. Kind decides which of Path,
// Port and Command apply.
type Health struct {
	Kind    HealthKind `json:"kind"`
	Path    string     `json:"path,omitempty"`    // the path of an HTTP check
	Port    int        `json:"port,omitempty"`    // the port of an HTTP or TCP check; 0 only if the service has no port
	Command []string   `json:"command,omitempty"` // the command of a command check
	Probe
}

// A HealthKind is a way to check health.
type HealthKind string

// The ways to check health.
const (
	HealthHTTP    HealthKind = "http"
	HealthTCP     HealthKind = "tcp"
	HealthGRPC    HealthKind = "grpc"
	HealthCommand HealthKind = "command"
)

// A Volume is storage that outlives pods.
type Volume struct {
	Name string `json:"name"` // unique in the service
	Path string `json:"path"` // where it is mounted
	Size string `json:"size"` // a Kubernetes quantity
	VolumeClaim
}

// A JobSpec says when a job runs and how often it is retried.
type JobSpec struct {
	Schedule string `json:"schedule,omitempty"` // cron; empty: once per deploy of its moment
	On       Moment `json:"on"`
	Retries  int    `json:"retries"` // how often it is retried
	Cron
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

// A DatabaseSpec describes the database of a service of type DATABASE.
type DatabaseSpec struct {
	Engine  string `json:"engine"`  // such as "postgresql"
	Version string `json:"version"` // of the engine, such as "17"
	Storage string `json:"storage"` // a Kubernetes quantity
	DatabaseAccess
}

// A Sync copies changed files into running containers in watch mode, instead of
// building an image (W6). It has no effect on other runs.
type Sync struct {
	Path    string   `json:"path"`              // a file or directory, slash-separated, relative to the workspace's root
	To      string   `json:"to"`                // its absolute path in the container
	Run     []string `json:"run,omitempty"`     // a command that runs in the container after files are copied
	On      []string `json:"on,omitempty"`      // paths below Path: Run runs only after one of these changes; none: after every change
	Restart bool     `json:"restart,omitempty"` // whether the container is restarted, so that its program starts with the changed files
	Pos     Pos      `json:"pos"`               // of the call of sync()
}

// A Duration marshals as a string such as "5m0s".
type Duration time.Duration

// MarshalText writes d as [time.Duration.String] does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what [time.ParseDuration] reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}
