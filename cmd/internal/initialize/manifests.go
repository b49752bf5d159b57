package initialize

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// A cluster has the objects that manifests declare.
type cluster struct {
	*files
	project    *project
	workloads  []*workload
	services   []corev1.Service
	ingresses  []networkingv1.Ingress
	configMaps map[string]corev1.ConfigMap
	secrets    map[string][]string // their keys
	claims     map[string]corev1.PersistentVolumeClaim
	accounts   map[string]bool
	others     []*other
	roles      []role
	bindings   []binding
	networks   []policy
	documents  map[string]int // of each file
	scalers    []autoscalingv2.HorizontalPodAutoscaler
	budgets    []policyv1.PodDisruptionBudget
	hosts      []pair           // names of Services with the namespace, with their names
	whole      []string         // files with only others that can be deployed unchanged
	single     []map[string]any // others of other files that can be deployed without a namespace
	namespaces []string         // of the objects
	dockers    []string         // Dockerfiles in the directory
}

// A workload is an object with pods.
type workload struct {
	service *service
	kind    string
	labels  map[string]string
	notes   map[string]string // annotations of its pods
	pod     corev1.PodSpec
	meta    metav1.ObjectMeta
	claims  []corev1.PersistentVolumeClaim
	replace appsv1.DeploymentStrategy
}

// hasManifests reports whether a directory has a YAML file that looks like manifests.
func (f *files) hasManifests(dir string) bool {
	found := false
	_, _ = f.walk(dir, func(name string) {
		if found || !isYAML(name) {
			return
		}
		if data, err := f.text(name); err == nil {
			text := string(data)
			found = apiLine.MatchString(text) && kindLine.MatchString(text)
		}
	})
	return found
}

var (
	apiLine  = regexp.MustCompile(`(?m)^"?apiVersion"?:`)
	kindLine = regexp.MustCompile(`(?m)^"?kind"?:`)
)

func isYAML(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name))
}

func readManifests(_ context.Context, f *files, _, from string, p *project) error {
	c := &cluster{
		files: f, project: p, configMaps: map[string]corev1.ConfigMap{}, secrets: map[string][]string{},
		claims: map[string]corev1.PersistentVolumeClaim{}, accounts: map[string]bool{}, documents: map[string]int{},
	}
	names := []string{from}
	if f.isDir(from) {
		k, err := f.kustomization(from)
		if err != nil {
			return err
		}
		if k != nil && k.overlay {
			return p.asKustomization(k)
		}
		names = nil
		complete, err := f.walk(from, func(name string) {
			if isYAML(name) || path.Base(name) == "Kustomization" {
				names = append(names, name)
			}
		})
		if err != nil {
			return err
		}
		if names, err = c.withoutOverlays(names); err != nil {
			return err
		}
		if !complete {
			p.note("%s is large, and not all of it was read.", quoted(from))
		}
	}
	for _, name := range names {
		data, err := f.text(name)
		if err != nil {
			return err
		}
		docs, err := documents(name, data)
		if err != nil {
			if len(names) > 1 && strings.Contains(string(data), "{{") {
				p.note("%s is a template and was not read.", quoted(name))
				continue
			}
			return err
		}
		c.documents[name] = len(docs)
		for _, doc := range docs {
			if err := c.object(name, doc, 0); err != nil {
				return err
			}
		}
	}
	var err error
	if c.dockers, _, err = f.dockerfiles("."); err != nil {
		return err
	}
	c.home()
	slices.SortStableFunc(c.workloads, func(a, b *workload) int { return cmp.Compare(a.service.name, b.service.name) })
	for _, w := range c.workloads {
		c.convert(w)
		p.services = append(p.services, w.service)
	}
	c.connect()
	c.expose()
	c.scaled()
	c.rights()
	c.policies()
	c.asTheyAre(names)
	c.rest()
	return nil
}

// into decodes an object, ignoring unknown fields.
func into[T any](name string, doc any) (T, error) {
	var out T
	data, err := json.Marshal(doc)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		m, _ := doc.(map[string]any)
		return out, fmt.Errorf("%s: the %v is not valid: %w; to check it, run: kubectl apply --dry-run=server", name, m["kind"], err)
	}
	return out, nil
}

func (c *cluster) object(file string, doc any, depth int) error {
	m, ok := doc.(map[string]any)
	if !ok || m["kind"] == nil || m["apiVersion"] == nil || strings.HasPrefix(fmt.Sprint(m["apiVersion"]), "skaffold/") {
		return nil
	}
	kind := fmt.Sprint(m["kind"])
	meta, _ := m["metadata"].(map[string]any)
	name := fmt.Sprint(meta["name"])
	if meta["name"] == nil {
		name, _ = meta["generateName"].(string)
		name = strings.TrimSuffix(name, "-")
	}
	namespace, _ := meta["namespace"].(string)
	if namespace != "" && !slices.Contains(c.namespaces, namespace) {
		c.namespaces = append(c.namespaces, namespace)
	}
	add := func(kind string, of plan.ServiceType, meta metav1.ObjectMeta, t corev1.PodTemplateSpec) *workload {
		w := &workload{service: &service{name: name, kind: of}, kind: kind, labels: t.Labels, notes: t.Annotations, pod: t.Spec, meta: meta}
		c.workloads = append(c.workloads, w)
		return w
	}
	var err error
	switch kind {
	case "List":
		items, _ := m["items"].([]any)
		for _, item := range items {
			if depth > 3 {
				return fmt.Errorf("%s: lists are nested", file)
			}
			if err := c.object(file, item, depth+1); err != nil {
				return err
			}
		}
	case "Deployment":
		var o appsv1.Deployment
		if o, err = into[appsv1.Deployment](file, doc); err == nil {
			w := add(kind, plan.Container, o.ObjectMeta, o.Spec.Template)
			w.replace = o.Spec.Strategy
			w.scale(o.Spec.Replicas)
		}
	case "StatefulSet":
		var o appsv1.StatefulSet
		if o, err = into[appsv1.StatefulSet](file, doc); err == nil {
			w := add(kind, plan.Container, o.ObjectMeta, o.Spec.Template)
			w.claims = o.Spec.VolumeClaimTemplates
			w.scale(o.Spec.Replicas)
		}
	case "DaemonSet":
		var o appsv1.DaemonSet
		if o, err = into[appsv1.DaemonSet](file, doc); err == nil {
			add(kind, plan.Container, o.ObjectMeta, o.Spec.Template).service.run("daemon", "True")
		}
	case "Pod":
		var o corev1.Pod
		if o, err = into[corev1.Pod](file, doc); err == nil {
			add(kind, plan.Container, o.ObjectMeta, corev1.PodTemplateSpec{ObjectMeta: o.ObjectMeta, Spec: o.Spec})
		}
	case "Job":
		var o batchv1.Job
		if o, err = into[batchv1.Job](file, doc); err == nil {
			add(kind, plan.Job, o.ObjectMeta, o.Spec.Template).job(o.Spec)
		}
	case "CronJob":
		var o batchv1.CronJob
		if o, err = into[batchv1.CronJob](file, doc); err == nil {
			w := add(kind, plan.Job, o.ObjectMeta, o.Spec.JobTemplate.Spec.Template)
			w.job(o.Spec.JobTemplate.Spec)
			w.service.schedule = o.Spec.Schedule
			if !builtins.IsSchedule(o.Spec.Schedule) {
				w.service.schedule = "0 0 * * *"
				w.service.note("its schedule %s is not supported: write five cron fields.", quoted(o.Spec.Schedule))
			}
			w.cron(o.Spec)
			if o.Spec.Suspend != nil && *o.Spec.Suspend {
				w.service.skip = true
			}
		}
	case "Service":
		var o corev1.Service
		if o, err = into[corev1.Service](file, doc); err == nil {
			c.services = append(c.services, o)
		}
	case "Ingress":
		var o networkingv1.Ingress
		if o, err = into[networkingv1.Ingress](file, doc); err == nil {
			c.ingresses = append(c.ingresses, o)
		}
	case "ConfigMap":
		var o corev1.ConfigMap
		if o, err = into[corev1.ConfigMap](file, doc); err == nil {
			c.configMaps[o.Name] = o
		}
	case "Secret":
		keys := map[string]bool{} // never the values
		for _, field := range []string{"data", "stringData"} {
			data, _ := m[field].(map[string]any)
			for k := range data {
				keys[k] = true
			}
		}
		c.secrets[name] = slices.Sorted(maps.Keys(keys))
	case "PersistentVolumeClaim":
		var o corev1.PersistentVolumeClaim
		if o, err = into[corev1.PersistentVolumeClaim](file, doc); err == nil {
			c.claims[o.Name] = o
		}
	case "ServiceAccount":
		c.accounts[name] = true
	case "HorizontalPodAutoscaler":
		if m["apiVersion"] != "autoscaling/v2" {
			c.other(file, kind, name, m)
			break
		}
		var o autoscalingv2.HorizontalPodAutoscaler
		if o, err = into[autoscalingv2.HorizontalPodAutoscaler](file, doc); err == nil {
			c.scalers = append(c.scalers, o)
		}
	case "PodDisruptionBudget":
		var o policyv1.PodDisruptionBudget
		if o, err = into[policyv1.PodDisruptionBudget](file, doc); err == nil {
			c.budgets = append(c.budgets, o)
		}
	case "Role", "ClusterRole":
		var o rbacv1.ClusterRole
		if o, err = into[rbacv1.ClusterRole](file, doc); err == nil {
			was := c.other(file, kind, name, m)
			if o.AggregationRule == nil {
				c.roles = append(c.roles, role{was, o.Rules})
			}
		}
	case "RoleBinding", "ClusterRoleBinding":
		var o rbacv1.ClusterRoleBinding
		if o, err = into[rbacv1.ClusterRoleBinding](file, doc); err == nil {
			c.bindings = append(c.bindings, binding{c.other(file, kind, name, m), o.RoleRef, o.Subjects})
		}
	case "NetworkPolicy":
		var o networkingv1.NetworkPolicy
		if o, err = into[networkingv1.NetworkPolicy](file, doc); err == nil {
			c.networks = append(c.networks, policy{c.other(file, kind, name, m), o.Spec})
		}
	case "Namespace":
	default:
		c.other(file, kind, name, m)
	}
	return err
}

func (w *workload) scale(replicas *int32) {
	if replicas != nil && *replicas != 1 {
		w.service.replicas, w.service.noReplicas = max(int(*replicas), 0), *replicas < 1
	}
}

func (w *workload) job(spec batchv1.JobSpec) {
	w.service.retries = 6 // the default of Kubernetes
	if spec.BackoffLimit != nil {
		w.service.retries = max(int(*spec.BackoffLimit), 0)
	}
	if s := spec.ActiveDeadlineSeconds; s != nil && *s > 0 {
		w.service.timeout = fmt.Sprintf("%ds", *s)
	}
}
