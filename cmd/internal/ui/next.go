package ui

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// noSpace is the advice for a full disk of this machine.
const noSpace = "make room on the disk and run again"

// flags maps the options that an advice names to the flags of the command.
var flags = map[string]string{
	"Kubeconfig": "--kubeconfig", "Context": "--context", "Local": "--local", "BuildKit": "--buildkit, BUILDKIT_HOST", "BuildKitTLS": "--buildkit-tls", "BuildCache": "--build-cache",
	"Registry": "--registry, registry= of pipeline()", "Home": "PIPE_HOME",
}

// Advice returns an advice, with the flags for the options that help.
func Advice(a runtime.Advice) string {
	var ways []string
	for _, option := range a.Options {
		ways = append(ways, flags[option])
	}
	if len(ways) == 0 {
		return a.Do
	}
	return a.Do + ": " + strings.Join(ways, ", ")
}

// next returns the next steps after a failure. The service is nil if it is not in the
// plan.
func next(f runtime.ServiceRecord, service *plan.Service, namespace string) []string {
	var (
		build   *runtime.BuildError
		release *runtime.ReleaseError
		known   plan.Service // the zero value if service is nil
	)
	if service != nil {
		known = *service
	}
	var owned *runtime.OwnedError
	var refused *runtime.RefusedError
	var chart *runtime.ChartError
	advice, advised := runtime.AdviceOf(f.Err)
	isBuild := errors.As(f.Err, &build)
	switch {
	case errors.As(f.Err, &refused):
		return afterRefused(f, refused, known)
	case errors.As(f.Err, &owned):
		return []string{AfterOwned(owned)}
	case errors.As(f.Err, &release):
		return afterRelease(f, release, known, namespace)
	case !known.Generated() && errors.As(f.Err, &chart) && chart.Kind != "":
		return []string{fmt.Sprintf("install the CRD of that kind, or correct %s, and run again; nothing was deployed", objectsOf(known, ""))}
	case !known.Generated() && errors.As(f.Err, &chart) && len(chart.Absent) > 0:
		return []string{fmt.Sprintf("pass the values of %s with --secrets, or create these Secrets in namespace %s, and run again; nothing was deployed", strings.Join(chart.Absent, ", "), namespace)}
	case !known.Generated() && errors.As(f.Err, &chart):
		return []string{fmt.Sprintf("correct %s, and run again; nothing was deployed", objectsOf(known, ", or values= of the service"))}
	case advised && isBuild:
		return []string{Advice(advice) + "; nothing of this stage was deployed"}
	case advised:
		return []string{Advice(advice) + "; what was built and deployed so far is kept"}
	case errors.Is(f.Err, syscall.ENOSPC):
		return []string{noSpace + "; what was built and deployed so far is kept"}
	case isBuild:
		where := "the Dockerfile or what it copies"
		if !build.Pos.IsZero() {
			where = build.Pos.String() + " or what it copies"
		}
		return []string{"correct " + where + " and run again; nothing of this stage was deployed"}
	case errors.Is(f.Err, runtime.ErrNotFound) && image(known) != "":
		return []string{fmt.Sprintf("check the name and the tag of image=%q; if it is private, log in with \"docker login %s\"", image(known), registryOf(image(known)))}
	case errors.Is(f.Err, runtime.ErrTimeout):
		return []string{"increase timeout= of the service or --timeout, or check what it waits for"}
	}
	return nil
}

// afterRefused returns the next steps after the cluster has rejected changes.
func afterRefused(f runtime.ServiceRecord, e *runtime.RefusedError, service plan.Service) []string {
	var lines []string
	for _, c := range e.Changes {
		for i, next := range c.Next {
			if len(e.Changes) > 1 && i == 0 {
				next = fmt.Sprintf("of %v: %s", c.Object, next)
			}
			lines = append(lines, next)
		}
	}
	if len(lines) == 0 {
		where := "the service"
		switch {
		case !service.Generated():
			where = objectsOf(service, ", or values= of the service")
		case !service.Pos.IsZero():
			where = "the service at " + service.Pos.String()
		}
		lines = append(lines, "correct "+where+", or ask the administrator of the cluster to change the rule")
	}
	var release *runtime.ReleaseError
	switch {
	case !errors.As(f.Err, &release):
		lines = append(lines, "nothing of this run was deployed")
	case release.RolledBack > 0:
		lines = append(lines, fmt.Sprintf("revision %d runs again; use --on-failure keep to inspect the failed one", release.RolledBack))
	}
	return lines
}

// afterMissing returns the next steps for missing Secrets: one command for each.
func afterMissing(missing []runtime.MissingSecret) []string {
	if len(missing) == 0 {
		return nil
	}
	var lines []string
	for _, m := range missing {
		if m.By != nil {
			lines = append(lines, fmt.Sprintf("find out why %s has not created Secret %s: %s", m.By.Object, m.Name, m.By.Show))
			continue
		}
		lines = append(lines, m.Make)
	}
	return append(lines, "or pass the values with --secrets, or check what should have created them; then run again: deployed services are kept, and waiting services were not started")
}

// AfterOwned returns the next step for resources that another owner has.
func AfterOwned(e *runtime.OwnedError) string {
	switch {
	case e.Owner == (runtime.EnvironmentKey{}):
		return "rename the service, or take over the release with adopt=True of the service or --take-ownership; pipe diff shows what changes"
	case e.Service != "" && e.Kind == "namespace":
		return "give service " + e.Service + " another namespace: that of an environment belongs to its services"
	case e.Service != "":
		return fmt.Sprintf("give each environment a release of its own, with {environment} in namespace= of the service, or leave it out of this one: pipe skip %s/%s %s", e.Key.Pipeline, e.Key.Name, e.Service)
	case e.Kind != "namespace":
		return fmt.Sprintf("rename the service, or delete the environment that owns it, with ALL its data: pipe delete %s/%s", e.Owner.Pipeline, e.Owner.Name)
	case e.Exists:
		return fmt.Sprintf("separate them with \"pipe delete %s/%s\", which deletes only what this environment has in the namespace, including its volumes; then rename the environment or its pipeline", e.Key.Pipeline, e.Key.Name)
	}
	if e.Key.In != "" {
		return "give each environment its own namespace, because a namespace has one owner: namespace= of pipeline() can contain {environment}"
	}
	return "rename the environment or the pipeline, or set another namespace with namespace= of pipeline() or --namespace: a namespace has one owner"
}

// image returns the image= of a service.
func image(s plan.Service) string { return s.Image.Mirror + s.Image.Ref }

// afterRelease returns the next steps for a release that did not become ready.
func afterRelease(f runtime.ServiceRecord, e *runtime.ReleaseError, service plan.Service, namespace string) []string {
	var lines []string
	pods := fmt.Sprintf("kubectl -n %s describe pods -l app.kubernetes.io/instance=%s", namespace, e.Release)
	timeout := errors.Is(f.Err, runtime.ErrTimeout)
	switch {
	case len(e.Unbound) > 0:
		lines = append(lines, afterUnbound(e.Unbound[0], service, namespace))
	case e.Cause == runtime.CauseImage:
		lines = append(lines, "check that the image exists and that the nodes of the cluster can pull it")
	case e.Cause == runtime.CauseMemory:
		lines = append(lines, "give it more memory: resources(memory_limit=…)")
	case e.Cause == runtime.CauseCrash:
		lines = append(lines, "its last lines are above; for all of them: "+
			fmt.Sprintf("kubectl -n %s logs -l app.kubernetes.io/instance=%s --previous", namespace, e.Release))
	case e.Cause == runtime.CauseCommand:
		lines = append(lines, "the image has no command to run: set command= of the service, or ENTRYPOINT in its Dockerfile")
	case e.Cause == runtime.CauseNode:
		lines = append(lines, "no node can run its pods: compare the message of the scheduler with resources= and with the chart's requirements for nodes (nodeSelector, affinity, tolerations), or add nodes")
	case e.Deadline != "" && !service.Generated():
		lines = append(lines, fmt.Sprintf("increase %s in %s, or inspect the pods with: %s", e.Deadline, objectsOf(service, ""), pods))
	case e.Cause == runtime.CauseQuota:
		lines = append(lines, "ask for a larger quota of the namespace, or request less with replicas=, resources= or the size of volumes")
	case e.Cause == runtime.CauseRights:
		lines = append(lines, "ask for that right; \"pipe doctor\" lists the rights that pipe needs")
	case e.Cause == runtime.CauseHealth && service.Workload.Health != nil:
		lines = append(lines, "check health= against the responses of the service, or increase timeout="+
			duration(time.Duration(service.Timeout)))
	case timeout && service.Timeout > 0:
		lines = append(lines, "inspect the pods with: "+pods, "or increase timeout="+duration(time.Duration(service.Timeout)))
	case e.Cause == runtime.CauseHook && !service.Generated():
		lines = append(lines, fmt.Sprintf("correct the hooks of %s, and run again", objectsOf(service, ", or values= of the service")))
	case e.Cause == runtime.CauseObject && !service.Generated(): // the cluster rejects an object of the chart
		lines = append(lines, fmt.Sprintf("correct %s, and run again", objectsOf(service, ", or values= of the service")))
	case e.Cause == runtime.CauseObject && !service.Pos.IsZero():
		lines = append(lines, fmt.Sprintf("correct the service at %s and run again", service.Pos))
	default:
		lines = append(lines, "inspect the pods with: "+pods)
	}
	if e.RolledBack > 0 {
		lines = append(lines, fmt.Sprintf("revision %d runs again; use --on-failure keep to inspect the failed one", e.RolledBack))
	}
	return lines
}

// objectsOf names the source of the objects of a service with a chart or with manifests.
// For a chart, it appends also.
func objectsOf(s plan.Service, also string) string {
	if s.Chart != nil {
		return fmt.Sprintf("chart %s (%s)%s", s.Chart.Ref, s.Chart.Pos, also)
	}
	if len(s.Manifests) == 1 {
		return fmt.Sprintf("%s (%s)", s.Manifests[0], s.Pos)
	}
	return fmt.Sprintf("the manifests (%s)", s.Pos)
}

// afterUnbound returns the next step for a claim without a volume.
func afterUnbound(c runtime.UnboundClaim, service plan.Service, namespace string) string {
	look := fmt.Sprintf("kubectl -n %s describe persistentvolumeclaim %s", namespace, c.Name)
	switch {
	case c.Class == "" && service.Generated():
		return "set a default storage class, for example with: kubectl annotate storageclass NAME storageclass.kubernetes.io/is-default-class=true"
	case c.Class == "" && service.Chart == nil:
		return fmt.Sprintf("set a storage class for claim %s in its manifest, or a default one for the cluster; inspect the claim with: %s", c.Name, look)
	case c.Class == "":
		return fmt.Sprintf("set a storage class for claim %s in values= of the service, or a default one for the cluster; inspect the claim with: %s", c.Name, look)
	}
	return fmt.Sprintf("check why storage class %s provides no volume for claim %s, or set another class; inspect the claim with: %s", c.Class, c.Name, look)
}

// registryOf returns the host of an image reference, in the form that "docker login"
// takes.
func registryOf(image string) string {
	host, _, ok := strings.Cut(image, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return "docker.io"
	}
	return host
}
