package builtins

import "slices"

// A foreignParam says what a parameter of other tools is called here.
type foreignParam struct {
	names []string
	param string // the one that is meant; empty: a service has none
	hint  string
}

// foreignParams are parameters of Compose, Kubernetes and the like.
var foreignParams = []foreignParam{
	{[]string{"environment", "variables", "envs"}, "env", `write env = {"NAME": "value"}`},
	{[]string{"env_file", "envFrom", "env_from"}, "env", "write env = read_yaml(…)"},
	{[]string{"depends_on", "depends", "needs", "requires", "after"}, "stage", "a service waits for all earlier stages: write stage = …"},
	{[]string{"dockerfile"}, "build", `write build = dockerfile(file = "…")`},
	{[]string{"build_args"}, "build", `write build = dockerfile(args = {"NAME": "value"})`},
	{[]string{"target"}, "build", `write build = dockerfile(target = "…")`},
	{[]string{"context", "path", "folder", "dir"}, "source", `write source = local("…")`},
	{[]string{"repo", "repository"}, "source", `write source = git("…")`},
	{[]string{"branch", "tag", "commit", "revision"}, "ref", `write ref = "…"`},
	{[]string{"expose", "listen"}, "ports", "write ports = [8080]"},
	{[]string{"host", "domain", "public", "ingress"}, "ports", `write ports = [port(8080, public = True, host = "…")]`},
	{[]string{"entrypoint"}, "command", `write command = ["program"]`},
	{
		[]string{"healthcheck", "health_check", "probe", "readiness", "readiness_probe", "readinessProbe", "startup_probe", "startupProbe"},
		"health", `write health = http("/healthz"), tcp() or command("program")`,
	},
	{
		[]string{"liveness", "liveness_probe", "livenessProbe"}, "values",
		`health = http("/healthz") says when it is ready, at the start and later; to restart it when a check fails, write ` +
			`values = {"livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}}}`,
	},
	{[]string{"tolerations"}, "values", `write values = {"tolerations": [{"key": "…", "operator": "Exists"}]}`},
	{[]string{"node_selector", "nodeSelector", "nodes"}, "values", `write values = {"nodeSelector": {"disk": "ssd"}}`},
	{[]string{"affinity", "node_affinity", "pod_affinity"}, "values", `write values = {"affinity": {…}}, as Kubernetes has it`},
	{[]string{"annotations", "pod_annotations", "podAnnotations"}, "values", `write values = {"podAnnotations": {"name": "value"}}`},
	{[]string{"ingress_annotations", "ingress_class", "tls"}, "values", `write values = {"ingress": {"className": "…", "annotations": {…}, "tls": […]}}`},
	{[]string{"service_account", "serviceAccount", "service_account_name", "serviceAccountName"}, "values", `write values = {"serviceAccount": {"create": False, "name": "…"}}`},
	{[]string{"security_context", "securityContext", "user", "run_as_user", "privileged", "cap_add", "read_only"}, "values", `write values = {"securityContext": {"runAsUser": 1000}}, as Kubernetes has it`},
	{[]string{"fs_group", "pod_security_context", "podSecurityContext"}, "values", `write values = {"podSecurityContext": {"fsGroup": 1000}}, as Kubernetes has it`},
	{[]string{"image_pull_secrets", "imagePullSecrets", "pull_secrets"}, "values", `write values = {"imagePullSecrets": [{"name": "…"}]}`},
	{[]string{"pull_policy", "image_pull_policy", "imagePullPolicy"}, "values", `write values = {"image": {"pullPolicy": "Always"}}`},
	{[]string{"storage_class", "storageClass", "storageClassName"}, "values", `write values = {"storageClass": "…"}`},
	{[]string{"stop_grace_period", "grace_period", "termination_grace_period", "terminationGracePeriodSeconds"}, "values", `write values = {"terminationGracePeriodSeconds": 60}`},
	{
		[]string{"configs", "config", "config_map", "configmap", "files", "config_files"}, "",
		`a service has no files from outside: COPY them into the image, or give what is in them as env = {"CONFIG": read_file("…")}`,
	},
	{[]string{"networks", "network", "network_mode", "links"}, "", "all services of an environment reach each other: write env = {\"API\": api.url}, or api.host"},
	{[]string{"sidecars", "sidecar", "containers", "extra_containers"}, "", `a pod has one container: declare another service, or bring a chart with chart = chart("…")`},
	{
		[]string{"init_containers", "init", "initContainers"}, "",
		"what runs before is a job() of an earlier stage; for a container in the pod bring a chart with chart = chart(\"…\")",
	},
	{[]string{"namespace"}, "", "each environment has a namespace of its own, PIPELINE-ENVIRONMENT"},
	{[]string{"restart", "restart_policy"}, "", "Kubernetes restarts what ends; what is to end is a job(…, retries = 3)"},
	{[]string{"cpu"}, "resources", `write resources = resources(cpu = "500m")`},
	{[]string{"memory", "mem_limit"}, "resources", `write resources = resources(memory = "256Mi")`},
	{[]string{"limits", "requests"}, "resources", `write resources = resources(cpu = "500m", memory_limit = "1Gi")`},
	{[]string{"scale", "instances", "pods"}, "replicas", "write replicas = 2"},
	{[]string{"cron"}, "schedule", `write schedule = "0 3 * * *"`},
	{[]string{"enabled", "disabled"}, "skip", "write skip = True to leave it out"},
	{[]string{"helm", "helm_chart"}, "chart", `write chart = chart("…")`},
	{[]string{"size", "disk"}, "storage", `write storage = "10Gi"`},
	{[]string{"options", "values"}, "choices", "write choices = […]"},
	{[]string{"description"}, "help", `write help = "…"`},
}

// foreign returns which of the parameters possible is meant by name, as other
// tools call it, and the hint; both are empty if that is not known. Only a hint says
// that a service has none.
func foreign(name string, possible []string) (param, hint string) {
	for _, f := range foreignParams {
		isService := slices.Contains(possible, "values") // they are those that have it
		if slices.Contains(f.names, name) && (slices.Contains(possible, f.param) || f.param == "" && isService) {
			return f.param, f.hint
		}
	}
	return "", ""
}
