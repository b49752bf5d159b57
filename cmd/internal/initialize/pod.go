package initialize

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// convert fills the service of a workload from its pod.
func (c *cluster) convert(w *workload) {
	s, pod := w.service, w.pod
	if len(pod.Containers) == 0 {
		s.note("it has no container.")
		s.image = s.unknown()
		return
	}
	main := pod.Containers[0]
	c.image(s, main.Image)
	s.command, s.arguments = main.Command, main.Args
	if secretIn(s.command) || secretIn(s.arguments) {
		s.command, s.arguments = nil, nil
		s.note("command and args were left out, because they seem to contain a secret. Put it into env= with secret(…), and use $(NAME) in command= or args=.")
	}
	c.env(s, main)
	if s.kind != plan.Job {
		c.ports(s, main)
		c.probes(s, main)
	}
	c.volumes(w, main)
	c.resources(s, main)
	c.containers(w)
	c.placement(w, main)
	w.strategy()
	w.annotations()
}

func (c *cluster) resources(s *service, main corev1.Container) {
	set := func(name string, list corev1.ResourceList, key corev1.ResourceName, is func(string) bool) {
		q, ok := list[key]
		most, limited := main.Resources.Limits[key]
		switch {
		case !ok || q.IsZero():
		case limited && q.Cmp(most) > 0 || !is(q.String()):
			s.note("its resources have the invalid value %s for %s: set resources=.", quoted(q.String()), name)
		default:
			s.resources = append(s.resources, pair{name, q.String()})
		}
	}
	set("cpu", main.Resources.Requests, corev1.ResourceCPU, builtins.IsCPU)
	set("memory", main.Resources.Requests, corev1.ResourceMemory, builtins.IsMemory)
	set("cpu_limit", main.Resources.Limits, corev1.ResourceCPU, builtins.IsCPU)
	set("memory_limit", main.Resources.Limits, corev1.ResourceMemory, builtins.IsMemory)
}

// image detects whether an image is built from a Dockerfile in the directory: one that has
// its name, or that of the workload if the image is only a name, as Skaffold and Tilt
// write it.
func (c *cluster) image(s *service, image string) {
	name, tag, digest := plan.CutImage(image)
	names := []string{lastPart(name)}
	if !strings.Contains(name, "/") && tag == "" && digest == "" {
		names = append(names, s.name)
	}
	for _, want := range names {
		for _, file := range c.dockers {
			dir := path.Dir(file)
			above := path.Dir(dir)
			if path.Base(file) != "Dockerfile" || dir == "." || engineOf(image) != "" || path.Base(dir) != want && (above == "." || path.Base(above) != want || path.Base(dir) != "src") {
				continue
			}
			text, err := c.text(file)
			if err != nil {
				continue
			}
			if s.kind == plan.Container {
				s.kind = plan.Application
			}
			s.source, s.file = c.source(file, string(text))
			s.about = "Built from " + quoted(dir) + " instead of the image " + quoted(image) + "."
			return
		}
	}
	if image == "" || strings.ContainsAny(image, " ${}") {
		s.note("its image is %s, which is not a valid reference: set image=.", quoted(image))
		image = s.unknown()
	}
	s.setImage(image, "the manifest")
}

func (c *cluster) env(s *service, main corev1.Container) {
	from := func(name, prefix string) {
		config, ok := c.configMaps[name]
		if !ok {
			s.note("envFrom names the ConfigMap %s, which is not in the manifests: set its variables in env=.", quoted(name))
			return
		}
		for _, k := range slices.Sorted(maps.Keys(config.Data)) {
			if builtins.IsEnvName(prefix + k) {
				s.setEnv(prefix+k, config.Data[k])
			}
		}
	}
	for _, e := range main.EnvFrom {
		switch {
		case e.ConfigMapRef != nil:
			from(e.ConfigMapRef.Name, e.Prefix)
		case e.SecretRef != nil:
			keys, ok := c.secrets[e.SecretRef.Name]
			if !ok {
				s.note("envFrom names the Secret %s, whose keys are unknown: set env = {NAME: secret(%q, key = …)} for each.", quoted(e.SecretRef.Name), e.SecretRef.Name)
			}
			for _, k := range keys {
				if builtins.IsEnvName(e.Prefix + k) {
					s.env = append(s.env, variable{name: e.Prefix + k, secret: secretOf(e.SecretRef.Name), key: k})
				}
			}
		}
	}
	for _, e := range main.Env {
		var v *variable
		switch from := e.ValueFrom; {
		case !builtins.IsEnvName(e.Name):
			s.note("%s is not a valid variable name.", quoted(e.Name))
			continue
		case from == nil:
			s.setEnv(e.Name, e.Value)
		case from.SecretKeyRef != nil:
			v = &variable{name: e.Name, secret: secretOf(from.SecretKeyRef.Name), key: secretOf(from.SecretKeyRef.Key)}
		case from.ConfigMapKeyRef != nil:
			value, ok := c.configMaps[from.ConfigMapKeyRef.Name].Data[from.ConfigMapKeyRef.Key]
			if ok {
				s.setEnv(e.Name, value)
			} else {
				v = &variable{name: e.Name, source: "config_map(" + str(from.ConfigMapKeyRef.Name) + ", key = " + str(from.ConfigMapKeyRef.Key) + ")"}
			}
		case from.FieldRef != nil && builtins.Field(from.FieldRef.FieldPath):
			v = &variable{name: e.Name, source: "field(" + str(from.FieldRef.FieldPath) + ")"}
		case from.ResourceFieldRef != nil && builtins.Field(from.ResourceFieldRef.Resource):
			v = &variable{name: e.Name, source: "field(" + str(from.ResourceFieldRef.Resource) + ")"}
		default:
			s.note("variable %s is a field of the pod that is not supported. To set it, write the chart with pipe eject %s, change it, and use it with chart=.", quoted(e.Name), label(s.name, maxServiceName))
		}
		if v != nil {
			s.env = append(s.env, *v)
		}
	}
	// The last one of a name takes precedence.
	seen := map[string]bool{}
	slices.Reverse(s.env)
	s.env = slices.DeleteFunc(s.env, func(v variable) bool {
		twice := seen[v.name]
		seen[v.name] = true
		return twice
	})
	slices.Reverse(s.env)
}

func (c *cluster) ports(s *service, main corev1.Container) {
	for _, p := range main.Ports {
		n := int(p.ContainerPort)
		if n < 1 || n > 65535 || slices.ContainsFunc(s.ports, func(o port) bool { return o.number == n && (o.protocol == string(p.Protocol) || p.Protocol == "") }) {
			continue
		}
		name := p.Name
		if !builtins.IsPortName(name) {
			name = ""
		}
		if name == "" && p.Protocol != "" && p.Protocol != corev1.ProtocolTCP {
			name = fmt.Sprintf("%s-%d", strings.ToLower(string(p.Protocol)), n)
		}
		s.ports = append(s.ports, port{number: n, name: name, protocol: cmp.Or(string(p.Protocol), "TCP")})
	}
}

// generic converts a Kubernetes object to the form of chart values.
func generic(v any) any {
	data, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var out any
	if json.Unmarshal(data, &out) != nil {
		return nil
	}
	return whole(out)
}

// whole converts floats with integral values to integers.
func whole(v any) any {
	switch v := v.(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	case map[string]any:
		for k := range v {
			v[k] = whole(v[k])
		}
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	}
	return v
}

func (c *cluster) volumes(w *workload, main corev1.Container) {
	s := w.service
	claims := map[string]corev1.PersistentVolumeClaim{}
	for _, t := range w.claims {
		claims[t.Name] = t
	}
	for _, m := range main.VolumeMounts {
		claim, ok := claims[m.Name]
		i := slices.IndexFunc(w.pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		var source corev1.VolumeSource
		if i >= 0 {
			source = w.pod.Volumes[i].VolumeSource
		}
		at := path.Clean("/" + m.MountPath)
		if source.PersistentVolumeClaim != nil {
			if claim, ok = c.claims[source.PersistentVolumeClaim.ClaimName]; !ok {
				s.note("the claim %s is not in the manifests, so the size of the volume is a guess.", quoted(source.PersistentVolumeClaim.ClaimName))
				ok = true
			}
			s.note("the volume at %s is new: copy the files of the claim %s.", quoted(at), quoted(source.PersistentVolumeClaim.ClaimName))
		}
		switch {
		case ok && (s.kind == plan.Job || !builtins.IsVolumePath(at)):
			s.note("the volume at %s was left out.", quoted(at))
		case ok:
			size := volumeSize
			if q, has := claim.Spec.Resources.Requests[corev1.ResourceStorage]; has && builtins.IsMemory(q.String()) {
				size = q.String()
			}
			if !slices.ContainsFunc(s.volumes, func(v volume) bool { return v.path == at }) {
				s.volumes = append(s.volumes, volume{path: at, size: size})
			}
		case source.EmptyDir != nil:
			size := ""
			if q := source.EmptyDir.SizeLimit; q != nil && builtins.IsMemory(q.String()) {
				size = q.String()
			}
			s.scratch(at, size, source.EmptyDir.Medium == corev1.StorageMediumMemory)
		case source.ConfigMap != nil:
			c.mountConfig(s, source.ConfigMap, m)
		case source.Secret != nil:
			c.mountSecret(s, source.Secret, m)
		default:
			s.note("the volume at %s was left out.", quoted(at))
		}
	}
	if n := s.replicas; n > 1 && slices.ContainsFunc(s.volumes, volume.exclusive) {
		s.replicas = 0
		s.note("replicas = %d was left out: a volume belongs to one pod.", n)
	}
}

// placement converts the settings that have the same form in the values of generated
// charts.
func (c *cluster) placement(w *workload, main corev1.Container) {
	s, pod := w.service, w.pod
	set := func(key string, has bool, v any) {
		if has {
			s.value(key, generic(v))
		}
	}
	set("podSecurityContext", pod.SecurityContext != nil, pod.SecurityContext)
	set("securityContext", main.SecurityContext != nil, main.SecurityContext)
	set("nodeSelector", len(pod.NodeSelector) > 0, pod.NodeSelector)
	set("tolerations", len(pod.Tolerations) > 0, pod.Tolerations)
	set("affinity", pod.Affinity != nil, pod.Affinity)
	set("imagePullSecrets", len(pod.ImagePullSecrets) > 0, pod.ImagePullSecrets)
	if g := pod.TerminationGracePeriodSeconds; g != nil && *g != 30 {
		s.run("termination", str(fmt.Sprint(*g, "s")))
	}
	if account := pod.ServiceAccountName; account != "" && account != "default" && !c.accounts[account] {
		s.run("service_account", str(account))
	}
	if s.kind != plan.Job {
		s.spread(pod.TopologySpreadConstraints)
	}
	c.unknown(w, main)
}

// The fields of pods and containers that are converted, or that pipe sets.
var (
	podFields = []string{
		"affinity", "automountServiceAccountToken", "containers", "imagePullSecrets", "initContainers", "nodeSelector", "restartPolicy", "securityContext",
		"serviceAccount", "serviceAccountName", "terminationGracePeriodSeconds", "tolerations", "topologySpreadConstraints", "volumes", "activeDeadlineSeconds",
	}
	containerFields = []string{
		"args", "command", "env", "envFrom", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "name", "ports", "readinessProbe", "resources", "securityContext",
		"startupProbe", "terminationMessagePath", "terminationMessagePolicy", "volumeMounts",
	}
	podDefaults = map[string]any{"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "enableServiceLinks": true}
)

// unknown makes a patch of the fields for which there are no arguments.
func (c *cluster) unknown(w *workload, main corev1.Container) {
	s := w.service
	left := func(object any, known []string, defaults map[string]any) map[string]any {
		fields, _ := generic(object).(map[string]any)
		maps.DeleteFunc(fields, func(name string, v any) bool { return v == nil || slices.Contains(known, name) || defaults[name] == v })
		return fields
	}
	pod, container := left(w.pod, podFields, podDefaults), left(main, containerFields, nil)
	var names []string
	for _, fields := range []map[string]any{pod, container} {
		maps.DeleteFunc(fields, func(name string, v any) bool {
			text, err := json.Marshal(v)
			// A block device is a volume, and those of the service have other names.
			out := err != nil || hasSecret(string(text)) || name == "volumeDevices"
			if out {
				names = append(names, name)
			}
			return out
		})
	}
	if s.kind == plan.Database {
		names = slices.AppendSeq(slices.AppendSeq(names, maps.Keys(pod)), maps.Keys(container))
	} else {
		s.pod, s.container = pod, container
	}
	if len(names) > 0 {
		slices.Sort(names)
		s.note("%s: left out, because there is no parameter for it. To set it, write the chart with pipe eject %s, change it, and use it with chart=.", strings.Join(names, ", "), label(s.name, maxServiceName))
	}
}
