package initialize

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// cron converts the options of a CronJob.
func (w *workload) cron(spec batchv1.CronJobSpec) {
	s := w.service
	if spec.TimeZone != nil {
		s.run("time_zone", str(*spec.TimeZone))
	}
	if p := spec.ConcurrencyPolicy; p == batchv1.AllowConcurrent || p == batchv1.ReplaceConcurrent {
		s.run("concurrency", str(string(p)))
	}
	if n := spec.SuccessfulJobsHistoryLimit; n != nil && *n >= 0 && *n != 3 {
		s.run("history", strconv.Itoa(int(*n)))
	}
	if n := spec.StartingDeadlineSeconds; n != nil && *n > 0 && *n <= 24*60*60 {
		s.run("deadline", str(fmt.Sprint(*n, "s")))
	}
}

// strategy converts how pods are replaced. Pods with volumes of their own are always
// recreated.
func (w *workload) strategy() {
	if w.service.kind == plan.Database || slices.ContainsFunc(w.service.volumes, volume.exclusive) {
		return
	}
	if w.replace.Type == appsv1.RecreateDeploymentStrategyType {
		w.service.run("strategy", "strategy(recreate = True)")
		return
	}
	r := w.replace.RollingUpdate
	if r == nil {
		return
	}
	var args []string
	valid, none := true, 0
	for _, a := range []struct {
		name string
		n    *intstr.IntOrString
	}{{"surge", r.MaxSurge}, {"unavailable", r.MaxUnavailable}} {
		if a.n == nil || a.n.String() == "25%" {
			continue
		}
		text := amount(*a.n)
		valid = valid && text != ""
		if strings.Trim(text, `"%`) == "0" {
			none++
		}
		args = append(args, a.name+" = "+text)
	}
	switch {
	case !valid || none == 2:
		w.service.note("its strategy is not valid and was left out: set strategy = ….")
	case len(args) > 0:
		w.service.run("strategy", "strategy("+strings.Join(args, ", ")+")")
	}
}

// annotations converts those of the pods, without those that kubectl sets.
func (w *workload) annotations() {
	out := map[string]any{}
	for name, value := range w.notes {
		switch {
		case strings.HasPrefix(name, "kubectl.kubernetes.io/"):
		case hasSecret(value):
			w.service.note("the annotation %s was left out, because it seems to contain a secret.", quoted(name))
		default:
			out[name] = value
		}
	}
	if len(out) > 0 {
		w.service.run("annotations", literal(out, "    "))
	}
}

// amount formats a number of pods, or a percentage. It returns "" for anything else.
func amount(n intstr.IntOrString) string {
	switch {
	case !builtins.IsPods(n.String()):
		return ""
	case n.Type == intstr.Int:
		return n.String()
	}
	return str(n.String())
}

// scaled converts autoscalers and disruption budgets.
func (c *cluster) scaled() {
	for _, h := range c.scalers {
		i := slices.IndexFunc(c.workloads, func(w *workload) bool {
			return w.kind == h.Spec.ScaleTargetRef.Kind && w.meta.Name == h.Spec.ScaleTargetRef.Name
		})
		if i < 0 {
			c.project.note("HorizontalPodAutoscaler %s scales no object of the manifests and was left out.", quoted(h.Name))
			continue
		}
		s := c.workloads[i].service
		text := autoscaler(s, h.Spec)
		if text == "" || s.kind == plan.Database || slices.ContainsFunc(s.volumes, volume.exclusive) {
			s.note("HorizontalPodAutoscaler %s was left out: set autoscale = ….", quoted(h.Name))
			continue
		}
		s.replicas, s.noReplicas = 0, false
		s.run("autoscale", text)
	}
	for _, b := range c.budgets {
		selector := map[string]string{}
		if b.Spec.Selector != nil {
			selector = b.Spec.Selector.MatchLabels
		}
		i := slices.IndexFunc(c.workloads, func(w *workload) bool {
			all := len(selector) > 0 && w.service.kind != plan.Job
			for k, v := range selector {
				all = all && w.labels[k] == v
			}
			return all
		})
		if i < 0 {
			c.project.note("PodDisruptionBudget %s selects no pods of the manifests and was left out.", quoted(b.Name))
			continue
		}
		s := c.workloads[i].service
		switch {
		case b.Spec.MinAvailable != nil && amount(*b.Spec.MinAvailable) == "" || b.Spec.MaxUnavailable != nil && amount(*b.Spec.MaxUnavailable) == "":
			s.note("PodDisruptionBudget %s is not valid and was left out: set disruption = ….", quoted(b.Name))
		case b.Spec.MinAvailable != nil && (b.Spec.MinAvailable.Type == intstr.String || b.Spec.MinAvailable.IntValue() <= max(1, s.replicas)):
			s.run("disruption", "disruption(min_available = "+amount(*b.Spec.MinAvailable)+")")
		case b.Spec.MaxUnavailable != nil:
			s.run("disruption", "disruption(max_unavailable = "+amount(*b.Spec.MaxUnavailable)+")")
		default:
			s.note("PodDisruptionBudget %s was left out: set disruption = ….", quoted(b.Name))
		}
	}
}

// autoscaler returns the call that makes an autoscaler, or "" if there is none for it.
func autoscaler(s *service, spec autoscalingv2.HorizontalPodAutoscalerSpec) string {
	least := 1
	if spec.MinReplicas != nil {
		least = int(*spec.MinReplicas)
	}
	if least < 1 || int(spec.MaxReplicas) < least || slices.ContainsFunc(s.running, func(a pair) bool { return a.name == "daemon" }) {
		return ""
	}
	var targets []string
	for _, m := range spec.Metrics {
		if m.Type != autoscalingv2.ResourceMetricSourceType || m.Resource == nil || m.Resource.Name != corev1.ResourceCPU && m.Resource.Name != corev1.ResourceMemory {
			s.note("the autoscaler also had metrics other than CPU and memory, which were left out.")
			continue
		}
		name := string(m.Resource.Name)
		switch target := m.Resource.Target; {
		case target.AverageUtilization != nil && slices.ContainsFunc(s.resources, func(r pair) bool { return r.name == name }):
			targets = append(targets, fmt.Sprintf("%s = %d", name, *target.AverageUtilization))
		case target.AverageValue != nil:
			targets = append(targets, name+" = "+str(target.AverageValue.String()))
		}
	}
	if len(targets) == 0 {
		return ""
	}
	return fmt.Sprintf("autoscale(%d, %d, %s)", least, spec.MaxReplicas, strings.Join(targets, ", "))
}
