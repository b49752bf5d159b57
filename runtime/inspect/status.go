package inspect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A Status is the status of an environment: its stages in running order, its services, and
// other releases in its namespace.
type Status struct {
	Version     int         `json:"version"`
	At          time.Time   `json:"at"` // the time of this status
	Environment Environment `json:"environment"`
	Stages      []Stage     `json:"stages"`
	// Others are releases in the namespace without a service in the plan.
	Others []Service `json:"others,omitempty"`
}

// A Stage is a stage and its services, in the order of the plan.
type Stage struct {
	Name     string    `json:"name"`
	Order    int       `json:"order"`
	Services []Service `json:"services"`
}

// A Service is the status of a service.
type Service struct {
	Name string           `json:"name"`
	Type plan.ServiceType `json:"type,omitempty"`
	// Namespace is that of its release, if it is not that of the environment.
	Namespace string    `json:"namespace,omitempty"`
	Skipped   string    `json:"skipped,omitempty"` // why it is skipped; empty: it is not skipped
	Health    Health    `json:"health"`
	Reason    string    `json:"reason,omitempty"`   // of Health, if it is not good
	Release   string    `json:"release,omitempty"`  // the status of the last revision in Helm
	Revision  int       `json:"revision,omitempty"` // of the release
	Updated   time.Time `json:"updated,omitzero"`   // when that revision was created
	Image     string    `json:"image,omitempty"`    // the image that is running
	Want      int       `json:"want"`               // pods
	Ready     int       `json:"ready"`              // pods
	Restarts  int       `json:"restarts,omitempty"` // of the containers of its pods
	Drift     []string  `json:"drift,omitempty"`    // differences from the last run or from the plan
}

// Health is the state of a service in one word.
type Health string

// The values of Health.
const (
	Healthy  Health = "healthy"  // everything that should run is ready; a job has succeeded
	Changing Health = "changing" // a revision is being rolled out
	Degraded Health = "degraded" // some pods are not ready
	Failed   Health = "failed"   // the last revision failed
	Stopped  Health = "stopped"
	Absent   Health = "absent"  // there is no release
	Waiting  Health = "waiting" // a job that runs on stop or on delete
)

// Good reports whether h needs no action.
func (h Health) Good() bool { return h == Healthy || h == Stopped || h == Absent || h == Waiting }

// StatusOf returns the status of env, based on the state of its releases in the cluster.
func StatusOf(env *runtime.Environment, live map[runtime.Place]*Live, now time.Time) (Status, error) {
	st := Status{Version: Version, At: now.UTC(), Environment: Of(env), Stages: []Stage{}}
	p, err := env.Effective()
	if err != nil {
		return st, err
	}
	if p == nil {
		p = &plan.Plan{}
	}
	at := make(map[string]int)
	for i, s := range p.Stages {
		at[s.Name] = i
		st.Stages = append(st.Stages, Stage{Name: s.Name, Order: s.Order, Services: []Service{}})
	}
	known := make(map[runtime.Place]bool)
	for i := range p.Services {
		s := &p.Services[i]
		place := runtime.Place{Namespace: env.Key.NamespaceOf(s), Name: s.Name}
		known[place] = true
		v := st.service(place, live[place], s.Type == plan.Job)
		v.Type = s.Type
		if job := s.Workload.Job; v.Health == Absent && job != nil && (job.On == plan.OnStop || job.On == plan.OnDelete) {
			v.Health = Waiting
		}
		if s.Skip {
			v.Skipped = "skipped"
			if s.SkipWhy != nil {
				v.Skipped = s.SkipWhy.Text
			}
		}
		v.Drift = drift(s, live[place], env.Images[s.Name])
		if n, ok := at[s.Stage]; ok {
			st.Stages[n].Services = append(st.Stages[n].Services, v)
		}
	}
	for _, place := range slices.SortedFunc(maps.Keys(live), runtime.ComparePlaces) {
		if known[place] || live[place].Deployed == nil {
			continue
		}
		v := st.service(place, live[place], false)
		if s := p.Service(place.Name); s != nil {
			v.Drift = []string{"the plan has the service in namespace " + env.Key.NamespaceOf(s)}
		} else if live[place].Deployed.Fingerprint != "" {
			v.Drift = []string{"the plan has no such service any more"}
		}
		st.Others = append(st.Others, v)
	}
	return st, nil
}

// service returns the status of a release.
func (st Status) service(place runtime.Place, is *Live, job bool) Service {
	v := Service{Name: place.Name, Health: Absent}
	if place.Namespace != st.Environment.Namespace {
		v.Namespace = place.Namespace
	}
	if is == nil || is.Deployed == nil {
		return v
	}
	v.Release, v.Revision, v.Updated = is.Deployed.Status, is.Deployed.Revision, is.Updated
	settled := true
	for _, w := range is.Workloads {
		v.Want, v.Ready = v.Want+w.Want, v.Ready+w.Ready
		settled = settled && w.Settled
		if v.Image == "" {
			v.Image = w.Image
		}
	}
	var trouble string
	for _, pod := range is.Pods {
		v.Restarts += pod.Restarts
		if v.Image == "" {
			v.Image = pod.Image
		}
		if len(is.Workloads) == 0 && !job { // it has workloads of other kinds
			v.Want++
			if pod.Ready {
				v.Ready++
			}
		}
		if trouble == "" && pod.Trouble != "" {
			trouble = pod.Name + ": " + pod.Trouble
		}
	}
	switch d := is.Deployed; {
	case d.Stopped:
		v.Health = Stopped
	case d.Status == "failed":
		v.Health, v.Reason = Failed, cmp.Or(trouble, "its last revision failed")
	case d.Status != "deployed":
		v.Health, v.Reason = Changing, "its release is "+d.Status
	case v.Ready < v.Want && trouble == "" && !settled:
		v.Health, v.Reason = Changing, fmt.Sprintf("%d of %d pods are ready", v.Ready, v.Want)
	case v.Ready < v.Want:
		v.Health, v.Reason = Degraded, cmp.Or(trouble, fmt.Sprintf("%d of %d pods are ready", v.Ready, v.Want))
	case job && !d.Ready:
		v.Health, v.Reason = Degraded, cmp.Or(trouble, "it has not succeeded")
	case !settled:
		v.Health, v.Reason = Changing, "pods of a former revision still run"
	default:
		v.Health = Healthy
	}
	return v
}

// drift returns how a service differs from the last run or from the plan.
func drift(s *plan.Service, is *Live, image string) []string {
	if is == nil || is.Deployed == nil {
		if later := s.Workload.Job != nil && s.Workload.Job.On != plan.OnDeploy; s.Skip || later {
			return nil
		}
		return []string{"it is not deployed"}
	}
	var out []string
	d := is.Deployed
	switch {
	case d.Fingerprint == "":
		out = append(out, fmt.Sprintf("revision %d is not of pipe", d.Revision))
	case !d.Ready && !d.Stopped && d.Status == "deployed":
		out = append(out, "the last deploy did not become ready")
	}
	if !s.Generated() || len(s.Values) > 0 || d.Stopped {
		return out // the chart determines what runs
	}
	for _, w := range is.Workloads {
		if w.Name != s.Name {
			continue
		}
		scaled := s.Type == plan.Database || s.Workload.Autoscale != nil || s.Workload.Daemon // by something else than the plan
		if want := s.Workload.Replicas; !scaled && w.Want != want {
			out = append(out, fmt.Sprintf("it has %d replicas, the plan has %d", w.Want, want))
		}
		if image != "" && w.Image != image {
			out = append(out, "it runs another image than was deployed: "+w.Image)
		}
	}
	return out
}

// Counts returns the number of services for each health. Services that are skipped and not
// deployed are not counted.
func (st Status) Counts() map[Health]int {
	n := make(map[Health]int)
	for _, stage := range st.Stages {
		for _, s := range stage.Services {
			if s.Skipped == "" || s.Health != Absent && s.Health != Waiting {
				n[s.Health]++
			}
		}
	}
	return n
}
