package builtins

import "slices"

// A foreignParam says what a parameter of other tools is called here.
type foreignParam struct {
	names []string
	param string // the one that is meant
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
		[]string{"healthcheck", "health_check", "probe", "readiness", "readiness_probe", "liveness", "liveness_probe"},
		"health", `write health = http("/healthz"), tcp() or command("program")`,
	},
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
// tools call it, and the hint; "" if that is not known.
func foreign(name string, possible []string) (param, hint string) {
	for _, f := range foreignParams {
		if slices.Contains(f.names, name) && slices.Contains(possible, f.param) {
			return f.param, f.hint
		}
	}
	return "", ""
}
