// Package doctor checks what pipe needs on a machine and says how to fix what is missing (SPEC C7).
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/internal/mirrors"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build/daemon"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/watch"
)

// A Report is the result of all checks. Its JSON form is documented.
type Report struct {
	Version int       `json:"version"` // 1
	Checks  []Finding `json:"checks"`
}

// A Finding is the result of one check.
type Finding struct {
	Check string `json:"check"` // "builder", "registry", "mirrors", "cluster", "rights", "files", "disk"
	State State  `json:"state"`
	Text  string `json:"text"`           // the result in words
	Next  string `json:"next,omitempty"` // how to fix it
}

// State is the outcome of a check.
type State string

// The states.
const (
	OK      State = "ok"
	Warning State = "warning" // pipe works with limitations
	Failed  State = "failed"
)

// Good reports whether no check failed.
func (r Report) Good() bool {
	for _, f := range r.Checks {
		if f.State == Failed {
			return false
		}
	}
	return true
}

// Options configure the checks.
type Options struct {
	Local local.Options
	// Environment is the one in whose namespaces rights are checked, and Plan returns its
	// plan according to the files, or nil.
	Environment runtime.EnvironmentKey
	Plan        func() *plan.Plan
	// Open opens a runtime, and Cluster only its cluster.
	Open    func(context.Context, local.Options) (*local.Runtime, error)
	Cluster func(context.Context, local.Options) (*local.Cluster, error)
	// Survey reports what watch mode would watch.
	Survey func() (watch.Surveyed, error)
}

// patience limits the time of a check: a part that does not answer by then is reported as failed.
const patience = 15 * time.Second

// Examine runs all checks.
func Examine(ctx context.Context, o Options) Report {
	r := Report{Version: 1}
	for _, check := range []struct {
		name string
		do   func(context.Context, Options) Finding
	}{{"builder", builder}, {"registry", registry}, {"mirrors", elsewhere}, {"cluster", cluster}, {"rights", rights}, {"files", files}, {"disk", disk}} {
		limited, stop := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %s", patience))
		f := check.do(limited, o)
		stop()
		f.Check = check.name
		r.Checks = append(r.Checks, f)
	}
	return r
}

func failed(err error, next string) Finding {
	var part *local.UnavailableError
	if errors.As(err, &part) {
		return Finding{State: Failed, Text: part.Err.Error(), Next: ui.Advice(part.Advice())}
	}
	return Finding{State: Failed, Text: err.Error(), Next: next}
}

// builder checks the configured builders, or the requirements of the embedded one. Builds are
// distributed to those that answer, so they fail only if none does.
func builder(ctx context.Context, o Options) Finding {
	if all := o.Local.BuildKit; len(all) > 0 {
		lines, silent := []string{}, 0
		for _, addr := range all {
			line := addr
			if err := dial(ctx, addr); err != nil {
				silent++
				line = fmt.Sprintf("builder %s: %v", addr, err)
			}
			lines = append(lines, line)
		}
		f := Finding{State: OK, Text: strings.Join(lines, "\n")}
		switch silent {
		case 0:
		case len(all):
			f.State, f.Next = Failed, "start buildkitd there, or choose another builder with --buildkit"
		default:
			f.State, f.Next = Warning, "start buildkitd there, or omit the address; until then the others build"
		}
		return f
	}
	if err := daemon.Usable(); err != nil {
		return Finding{State: Failed, Text: err.Error(), Next: "install what is missing, or choose a builder with --buildkit"}
	}
	return Finding{State: OK, Text: "the embedded builder can be started"}
}

// dial connects to a builder.
func dial(ctx context.Context, addr string) error {
	u, err := url.Parse(addr)
	if err != nil {
		return err
	}
	network, host := u.Scheme, u.Host
	switch u.Scheme {
	case "unix":
		host = u.Path
	case "tcp":
	default: // docker, docker-container, kube-pod, ssh: their command line programs connect
		return nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, host)
	if err != nil {
		return err
	}
	return conn.Close()
}

// registry requests a nonexistent image from the registry.
func registry(ctx context.Context, o Options) Finding {
	if _, err := mirrors.Read(mirrors.File(o.Local.Home)); err != nil {
		return Finding{State: Warning, Text: "not checked: registries.conf has a mistake"} // which the next check shows
	}
	rt, err := o.Open(ctx, o.Local)
	if err != nil {
		var part *local.UnavailableError
		if errors.As(err, &part) && part.Part == "cluster" {
			return Finding{State: Warning, Text: "not checked: no cluster"}
		}
		return failed(err, "choose a registry with --registry")
	}
	defer func() { _ = rt.Close() }() // nothing was written
	_, err = rt.Registry.Resolve(ctx, rt.Registry.Ref("pipe-doctor", plan.DigestOf(nil)))
	if err != nil && !errors.Is(err, runtime.ErrNotFound) {
		return failed(err, "check its address and log in, for example with \"docker login\"; or choose another one with --registry")
	}
	where := o.Local.Registry
	if where == "" {
		where = "the embedded registry"
	}
	return Finding{State: OK, Text: where + " answers"}
}

// elsewhere shows which registries are read from elsewhere, and whether they answer there.
func elsewhere(ctx context.Context, o Options) Finding {
	file := mirrors.File(o.Local.Home)
	config, err := mirrors.Read(file)
	switch {
	case err != nil:
		return failed(err, mirrors.Next(err))
	case len(config.Registries) == 0:
		return Finding{State: OK, Text: "no registry is read from elsewhere, which " + file + " could say"}
	}
	f := Finding{State: OK}
	var lines, silent []string
	then := "the next place is read"
	for _, r := range config.Registries {
		lines = append(lines, r.String())
		for _, p := range r.Mirrors {
			if err := reachable(ctx, p.Host); err != nil {
				silent = append(silent, fmt.Sprintf("mirror %s of %s: %v", p, r.Host, err))
			}
		}
		if !r.Replaced() {
			continue
		}
		if err := reachable(ctx, r.Location.Host); err != nil {
			silent = append(silent, fmt.Sprintf("location %s of %s: %v", r.Location, r.Host, err))
			then = "images of " + r.Host + " can only be read from its mirrors, if it has some"
		}
	}
	if len(silent) > 0 {
		f.State, f.Next = Warning, "correct it in "+file+", or make it answer; until then "+then
	}
	f.Text = strings.Join(append(lines, silent...), "\n")
	return f
}

// reachable connects to a registry.
func reachable(ctx context.Context, host string) error {
	to := mirrors.Endpoint(host)
	at := &url.URL{Scheme: "https", Host: to}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: at}); proxy != nil || err != nil {
		return err // it cannot be reached directly
	}
	if at.Port() == "" {
		to = net.JoinHostPort(strings.Trim(to, "[]"), "443")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err != nil {
		return err
	}
	return conn.Close()
}

// cluster lists the environments of the cluster.
func cluster(ctx context.Context, o Options) Finding {
	cluster, err := o.Cluster(ctx, o.Local)
	if err != nil {
		return failed(err, "")
	}
	envs, damaged, err := cluster.Store.Environments(ctx, "")
	switch {
	case errors.Is(err, runtime.ErrNoAccess):
		return Finding{State: Warning, Text: "it answers, but you may not list environments", Next: "name the pipeline with --pipeline: the rights in its namespaces are then sufficient"}
	case err != nil:
		return failed(cluster.Explain(err), "")
	}
	if len(damaged) > 0 {
		return Finding{State: Warning, Text: fmt.Sprintf("it answers; it has %s, and %d damaged ones: %v", environments(len(envs)), len(damaged), damaged[0]), Next: "list them with \"pipe envs\", and delete them or repair their records"}
	}
	return Finding{State: OK, Text: fmt.Sprintf("it answers; it has %s", environments(len(envs)))}
}

// rights finds the rights that are missing.
func rights(ctx context.Context, o Options) Finding {
	cluster, err := o.Cluster(ctx, o.Local)
	if err != nil {
		return Finding{State: Warning, Text: "not checked: no cluster"}
	}
	if cluster.Inspector == nil {
		return Finding{State: Warning, Text: "not checked: this cluster does not support the query"}
	}
	home := o.Environment.Namespace()
	namespaces := []string{home}
	for _, further := range furtherNamespaces(ctx, cluster, o) {
		if !slices.Contains(namespaces, further) {
			namespaces = append(namespaces, further)
		}
	}
	var lacking []string
	for _, namespace := range namespaces {
		missing, err := cluster.Inspector.Missing(ctx, namespace, namespace != home)
		if err != nil {
			return failed(cluster.Explain(err), "")
		}
		if len(missing) > 0 {
			lacking = append(lacking, fmt.Sprintf("in namespace %s you may not: %s", namespace, strings.Join(missing, ", ")))
		}
	}
	if len(lacking) > 0 {
		return Finding{State: Failed, Text: strings.Join(lacking, "\n"), Next: "ask for the Role of docs/rbac.yaml to be bound to you there"}
	}
	where := "in namespace " + home
	if len(namespaces) > 1 {
		where = "in the namespaces " + strings.Join(namespaces, ", ")
	}
	return Finding{State: OK, Text: where + " everything that a run needs is allowed"}
}

// furtherNamespaces returns those of services: of the environment, if it exists, and of the
// Pipelinefile.
func furtherNamespaces(ctx context.Context, cluster *local.Cluster, o Options) []string {
	var all []string
	if env, err := cluster.Store.Environment(ctx, o.Environment); err == nil {
		all = env.FurtherNamespaces()
	}
	planned := runtime.Environment{Key: o.Environment, Plan: o.Plan()}
	return append(all, planned.FurtherNamespaces()...)
}

// files reports how watch mode would watch the workspace.
func files(_ context.Context, o Options) Finding {
	survey, err := o.Survey()
	if err != nil {
		return failed(err, "")
	}
	f := Finding{State: OK, Text: fmt.Sprintf("directories that watch mode watches here: %d", survey.Directories)}
	var next []string
	for _, l := range survey.Limits {
		if l.Value == 0 {
			continue
		}
		f.Text += fmt.Sprintf("; %s is %d, of which %d are used", l.Name, l.Value, l.Used)
		if !l.Fits() {
			next = append(next, fmt.Sprintf("sysctl -w %s=%d", l.Name, l.Fitting))
		}
	}
	if len(next) > 0 {
		f.State, f.Next = Warning, "directories beyond the limits are polled; raise them with: "+strings.Join(next, " && ")
	}
	for _, m := range survey.Silent {
		f.State = Warning
		f.Text += fmt.Sprintf("\n%s is on %s, which does not report changes; it is polled", m.Path, m.Type)
	}
	if f.Next == "" && len(survey.Silent) > 0 {
		f.Next = "move the workspace to a local disk, so that changes are seen sooner"
	}
	return f
}

// disk checks that the state of pipe can be written.
func disk(_ context.Context, o Options) Finding {
	next := "free disk space, or choose another directory with PIPE_HOME"
	if err := os.MkdirAll(o.Local.Home, 0o700); err != nil {
		return failed(err, next)
	}
	f, err := os.CreateTemp(o.Local.Home, ".doctor-*")
	if err != nil {
		return failed(err, next)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, 1<<20))
	if err = errors.Join(err, f.Close()); err != nil {
		return failed(err, next)
	}
	return Finding{State: OK, Text: o.Local.Home + " is writable"}
}

// Write writes a report for people.
func Write(w io.Writer, r Report) error {
	for _, f := range r.Checks {
		text := fmt.Sprintf("%-8s  %-7s  %s\n", f.Check, f.State, strings.ReplaceAll(f.Text, "\n", "\n                   "))
		if f.Next != "" {
			text += fmt.Sprintf("                   next: %s\n", f.Next)
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

func environments(n int) string {
	if n == 1 {
		return "one environment"
	}
	return fmt.Sprintf("%d environments", n)
}
