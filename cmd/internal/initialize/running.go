package initialize

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

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
		if text == "" || s.kind == plan.Database || len(s.volumes) > 0 {
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
		amount := func(n intstr.IntOrString) string {
			if n.Type == intstr.Int {
				return n.String()
			}
			return str(n.String())
		}
		switch {
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
