package explain

import (
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/misspell"
)

// A ForeignParam maps names of parameters in other tools, or in another builtin, to the
// parameter to use here.
type ForeignParam struct {
	Names string // separated by spaces; "_" and case are ignored
	Param string // the parameter of the builtin that is meant; empty: there is none
	Of    string // the row applies only to builtins that have this parameter; empty: to all
	Hint  string
}

// service is a parameter that all services have, and no other builtin.
const service = "values"

// noneGenerated is the hint for a parameter for which a generated chart has no value.
const noneGenerated = `write patch = patch("Deployment", merge = {…}) for a field of an object that the generated chart has; for another object write manifests(…), or chart = chart("…") with what pipe eject writes`

// ForeignParams are parameters of Compose, Kubernetes, Helm and similar tools. The first
// matching row applies.
var ForeignParams = []ForeignParam{
	{"password credentials root_password", "", "engine", "the password is generated for each environment: .password and .url refer to it"},
	{"username user_name owner", "user", "engine", `write user = "shop"`},
	{"database_name db db_name dbname", "database", "engine", `write database = "shop"`},
	{"shm shm_size", "shared_memory", "engine", `write shared_memory = "1Gi"`},
	{"params parameters query url_options sslmode", "options", "engine", `write options = {"sslmode": "require"}`},

	{"environment variables envs", "env", "", `write env = {"NAME": "value"}`},
	{"env_file env_from", "env", "", `write env = read_env(".env")`},
	{"depends_on depends dependencies deps needs requires after wait_for resource_deps", "stage", "", "a service waits for all earlier stages: write stage = …"},
	{"dockerfile", "build", "", `write build = dockerfile(file = "…")`},
	{"build_args", "build", "", `write build = dockerfile(args = {"NAME": "value"})`},
	{"target", "build", "", `write build = dockerfile(target = "…")`},
	{"platform platforms", "build", "", `write build = dockerfile(platforms = ["linux/arm64"])`},
	{"platform platforms", "", service, "an image is deployed for the platform of its node"},
	{"build source", "", service, "only application() and job() are built from source: write application(…) without image="},
	{"path from", "source", "content", `write source = "…"`},
	{"context build_context path folder dir directory", "source", "", `write source = local("…")`},
	{"repo repository", "source", "", `write source = git("…")`},
	{"branch tag commit revision", "ref", "url", `write ref = "…"`},
	{"tag image_tag image_name", "image", service, `write image = "name:tag"`},
	{"expose listen port container_port", "ports", "", "write ports = [8080]"},
	{"host hosts domain public ingress", "ports", "", `write ports = [port(8080, public = True, host = "…")]`},
	{"service_type load_balancer node_port", "ports", "", `write ports = [port(8080, kind = "LoadBalancer")]`},
	{"cluster_ip headless", "ports", "", `write ports = [port(8080, kind = "headless")]`},
	{"target_port service_port", "ports", "", "write ports = [port(8080, service = 80)]"},
	{
		"external_ips external_name session_affinity", "ports", "",
		`the Kubernetes Service of ports= has no such setting; what is reached from outside is port(8080, public = True) or port(8080, kind = "LoadBalancer")`,
	},
	{"entrypoint", "command", "", `write command = ["program"]`},
	{"cmd arguments", "args", command, `write args = ["…"], or command = ["program"] to replace the entry point, too`},
	{"shell", "command", "", `write command = ["sh", "-c", "…"]`},
	{
		"healthcheck health_check probe readiness readiness_probe",
		"health", "", `write health = http("/healthz"), tcp() or command("program")`,
	},
	{"liveness_probe", "liveness", "", `write liveness = http("/healthz"), tcp() or command("program")`},
	{"startup_probe", "startup", "", `write startup = http("/healthz"), tcp() or command("program")`},
	{"tolerations", "values", "", `write values = {"tolerations": [{"key": "…", "operator": "Exists"}]}`},
	{"node_selector nodes node_name", "values", "", `write values = {"nodeSelector": {"disk": "ssd"}}`},
	{"affinity node_affinity pod_affinity pod_anti_affinity", "values", "", `write values = {"affinity": {…}}, as Kubernetes has it`},
	{"pod_annotations", "annotations", service, `write annotations = {"name": "value"}`},
	{"ingress_annotations tls", "ports", "", `write ports = [port(8080, public = True, host = "…", tls = True, annotations = {…})]`},
	{"ingress_class ingress_class_name", "values", "", `write values = {"ingress": {"className": "…"}}`},
	{"service_annotations", "ports", "", `write ports = [port(8080, annotations = {"name": "value"})]`},
	{"serviceAccount service_account_name", "service_account", "", `write service_account = "name"`},
	{"automount_service_account_token", "values", "", `write values = {"serviceAccount": {"automount": True}}`},
	{"privileged", "values", "", `write values = {"securityContext": {"privileged": True, "allowPrivilegeEscalation": True}}`},
	{"cap_add capabilities", "values", "", `write values = {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}`},
	{"cap_drop", "values", "", `write values = {"securityContext": {"capabilities": {"drop": ["ALL"]}}}`},
	{"read_only read_only_root_filesystem", "values", "", `write values = {"securityContext": {"readOnlyRootFilesystem": True}}`},
	{"security_context user run_as_user run_as_group run_as_non_root security_opt", "values", "", `write values = {"securityContext": {"runAsUser": 1000}}, as Kubernetes has it`},
	{"fs_group pod_security_context", "values", "", `write values = {"podSecurityContext": {"fsGroup": 1000}}, as Kubernetes has it`},
	{"group_add supplemental_groups", "values", "", `write values = {"podSecurityContext": {"supplementalGroups": [1000]}}`},
	{"sysctls sysctl", "values", "", `write values = {"podSecurityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "1024"}]}}`},
	{"gpus gpu", "values", "", `write values = {"resources": {"limits": {"nvidia.com/gpu": 1}}}`},
	{"image_pull_secrets pull_secrets", "values", "", `write values = {"imagePullSecrets": [{"name": "…"}]}`},
	{"pull_policy image_pull_policy", "values", "", `write values = {"image": {"pullPolicy": "Always"}}`},
	{"storage_class storage_class_name", "values", "", `write volumes = [volume("/data", size = "10Gi", storage_class = "…")], or values = {"storageClass": "…"} for all volumes and the data of a database`},
	{"tmpfs empty_dir", "volumes", "", `write volumes = [scratch("/tmp")]`},
	{"shm_size shm", "volumes", "", `write volumes = [scratch("/dev/shm", size = "256Mi", memory = True)]`},
	{"stop_grace_period grace_period termination_grace_period termination_grace_period_seconds", "termination", "", `write termination = "60s"`},
	{"min_ready_seconds", "values", "", `health= says when a pod is ready; without one, write values = {"settleSeconds": 10}`},
	{"configs config config_map config_files secret_files", "files", "", `write files = {"/etc/app.conf": read_file("app.conf")}, or secret("name") for a secret`},
	{"take_ownership take_over", "adopt", "", "write adopt = True"},
	{"networks links external_links", "", service, "all services of an environment reach each other: write env = {\"API\": api.url}, or api.host"},
	{"hostname container_name aliases domainname subdomain", "", service, "other services reach it by its name, which .host is"},
	{"sidecar containers extra_containers additional_containers", "sidecars", "", `write sidecars = [sidecar("name", image = "…")]`},
	{"init_containers init_container", "init", "", `write init = [init("name", image = "…", command = ["…"])]; what runs once per deploy is a job() of an earlier stage`},
	{"hooks pre_deploy post_deploy migrations migrate", "", service, "what runs before or after is a job() of an earlier or later stage"},
	{"namespace", "", service, `only a helm() or a manifests() can have a namespace of its own; for all of an environment, write pipeline(…, namespace = "…")`},
	{"restart restart_policy attempts backoff_limit", "retries", "", "write retries = 3"},
	{"restart restart_policy attempts backoff_limit retries", "", service, "Kubernetes restarts what ends; what is to end is a job(…, retries = 3)"},
	{"cpu cpus cpu_count cpu_shares cpu_quota cpu_period cpu_percent", "resources", service, `write resources = resources(cpu = "500m")`},
	{"memory mem mem_limit mem_reservation", "resources", service, `write resources = resources(memory = "256Mi")`},
	{"limits requests cpu_limit memory_limit", "resources", service, `write resources = resources(cpu = "500m", memory_limit = "1Gi")`},
	{"deploy", "replicas", service, `write replicas = 2, resources = resources(cpu = "500m")`},
	{"scale instances pods", "replicas", "", "write replicas = 2"},
	{"autoscaling hpa autoscaler min_replicas max_replicas", "autoscale", "", `write autoscale = autoscale(2, 10, cpu = 80), resources = resources(cpu = "100m")`},
	{"daemon_set daemonset", "daemon", "", "write daemon = True"},
	{"role roles cluster_role rules permissions", "rbac", "", `write rbac = [rule(["pods"], ["get", "list"])]`},
	{"pdb pod_disruption_budget min_available max_unavailable", "disruption", "", `write disruption = disruption(max_unavailable = 1)`},
	{"update_strategy rolling_update max_surge", "strategy", "", `write strategy = strategy(surge = 1, unavailable = 0)`},
	{"topology_spread_constraints topology_spread", "spread", "", `write spread = ["zone"]`},
	{"network_policy allow_from ingress_from", "network", "", `write network = ["web"]; these services may connect`},
	{"lifecycle prestop", "pre_stop", "", `write pre_stop = command("sleep", "5")`},
	{"concurrency_policy", "concurrency", "", `write schedule = "0 3 * * *", concurrency = "Forbid"`},
	{"successful_jobs_history_limit failed_jobs_history_limit history_limit", "history", "", `write schedule = "0 3 * * *", history = 3`},
	{"starting_deadline_seconds", "deadline", "", `write schedule = "0 3 * * *", deadline = "5m"`},
	{"timezone tz", "time_zone", "", `write schedule = "0 3 * * *", time_zone = "Europe/Berlin"`},
	{"time_zone concurrency_policy concurrency history timezone tz", "", service, `only a job() has a schedule: write job(…, schedule = "0 3 * * *")`},
	{"cron", "schedule", "", `write schedule = "0 3 * * *"`},
	{"cron schedule", "", service, `only a job() has a schedule: write job(…, schedule = "0 3 * * *")`},
	{"on", "", service, `only a job() runs on an action: write job(…, on = "delete")`},
	{"active_deadline_seconds deadline timeout_seconds wait wait_timeout", "timeout", "", `write timeout = "10m"`},
	{"enabled disabled profiles profile", "skip", service, `write skip = True to leave it out, or such as skip = environment.name != "dev"`},
	{"helm helm_chart", "chart", "", `write chart = chart("…")`},
	{"size disk", "storage", "", `write storage = "10Gi"`},
	{"storage mounts volume_mounts volume_claim_templates persistence host_path bind volumes_from", "volumes", service, `write volumes = [volume("/data", size = "10Gi")]`},
	{"mirror mirror_images image_mirror", "images", "", `images = "keep" deploys the images as they are named`},
	{"images", "", service, `only helm() and manifests() have it: an application or a job gives its chart the image that is built; a chart with its own images is helm(…, chart = …)`},
	{"mirror", "", service, "only container() has it: an image= of another service is always copied into the pipeline's registry"},
	{"engine", "", service, `only a database() has it: write database(…, engine = "postgresql", version = "17")`},
	{"database options", "", service, `only a database() has it: write database(…, engine = "postgresql", version = "17"), and give its .url to the service in env=`},
	{"shared_memory", "volumes", service, `write volumes = [scratch("/dev/shm", size = "256Mi", memory = True)]`},
	{"version", "image", service, `the version of an image is its tag: write image = "name:tag"; only a database() has version=`},
	{"type kind", "", service, "the function is the type: write application, container, job, database, helm or manifests"},
	{"registry", "", service, `all images of a pipeline are in one registry: write pipeline(…, registry = "…")`},
	{"develop live_update hot_reload watch", "sync", "", `write sync = [sync("src", "/app/src")]`},
	{"sync develop live_update hot_reload watch", "", service, "only application() has files that watch mode copies: write application(…, sync = [sync(\"src\", \"/app/src\")])"},
	{"extends template", "", service, "what several services share is a function that declares one: write def name(…): return application(…)"},
	{"working_dir workdir", "command", "", `write WORKDIR in the Dockerfile, or command = ["sh", "-c", "cd /dir && exec program"]`},
	{"stop_signal", "", service, "write STOPSIGNAL in the Dockerfile"},
	{"logging log_driver", "", service, "what a container prints is shown by pipe logs; where it is kept is up to the cluster"},
	{
		"devices ulimits dns dns_config dns_policy dns_opt dns_search extra_hosts host_aliases host_network network_mode host_pid pid host_ipc ipc " +
			"stdin stdin_open stdin_once tty attach runtime runtime_class runtime_class_name priority priority_class priority_class_name scheduler_name " +
			"revision_history_limit progress_deadline_seconds pod_management_policy post_start share_process_namespace " +
			"enable_service_links parallelism completions completion_mode suspend ttl_seconds_after_finished selector service_name " +
			"service_monitor pod_labels", "", service, noneGenerated,
	},
	{
		"blkio_config cgroup cgroup_parent cpuset cpu_rt_runtime cpu_rt_period credential_spec device_cgroup_rules driver_opts isolation label_file mac_address mem_swappiness memswap_limit " +
			"models oom_kill_disable oom_score_adj pids_limit provider storage_opt use_api_socket userns_mode uts", "", service, "Kubernetes has no such setting of a container",
	},

	{"target_port container_port internal", "number", "protocol", "a port has both numbers, port(8080, service = 80): the container listens on 8080, and others reach it at 80"},
	{"service_port expose", "service", "protocol", "write service = 80"},
	{"published host_port external", "local", "", `write local = 8080: pipe forward opens it at that port of your machine`},
	{"path_type", "path", "protocol", `write public = True, path = "/api"`},
	{"type service_type", "kind", "protocol", `write kind = "LoadBalancer"`},
	{"ingress hosts domain", "host", "protocol", `write public = True, host = "…"`},
	{"certificate secret_name", "tls", "protocol", `write public = True, host = "example.org", tls = True`},
	{"limits", "cpu_limit", "", `write cpu_limit = "1", memory_limit = "1Gi"`},
	{"requests", "cpu", "", `write cpu = "500m", memory = "256Mi"`},
	{"build_args", "args", "file", `write args = {"NAME": "value"}`},
	{"dockerfile", "file", "", `write file = "Dockerfile"`},
	{"text data value body", "content", "", `write file("text")`},
	{"permissions perm perms default_mode chmod", "mode", "", "write mode = 0o440"},
	{"values set", "", "values_files", `values belong to the service: write helm(…, chart = chart("…"), values = {…})`},
	{"repo repository version", "", "values_files", `the chart has it: write chart = chart("name", repo = "https://…", version = "…")`},
	{"env secrets image ports replicas resources labels", "values", "values_files", "the chart decides how it is set: write values = {…}, with the key that the chart has for it"},
	{"release release_name namespace", "", "values_files", "the release is named after its service, in the namespace of the environment"},
	{"username password token", "", "values_files", "credentials of a repository are kept by helm repo add, those of a registry by docker login"},
	{"username password token", "", "url", "credentials are kept by a credential helper of git, or write an address of SSH"},
	{"access_mode access_modes mode", "access", "size", `write access = "ReadWriteMany"`},
	{"class storage_class_name", "storage_class", "size", `write storage_class = "…"`},
	{"claim claim_name existing_claim", "", "size", `write existing_volume("claim").at("/data")`},
	{"read_only host_path source", "", "size", "a volume belongs to its service; one that others write to is a disk: write disk(…), and DISK.at(\"/data\", read_only = True)"},
	{"interval period_seconds every", "period", "failures", `write period = "10s"`},
	{"retries failure_threshold", "failures", "", "write failures = 3"},
	{"initial_delay_seconds initial_delay", "delay", "failures", `write delay = "10s"`},
	{"start_period success_threshold", "", "failures", "it is checked once a second until the first success, within the timeout= of the service; startup = of the service changes that"},
	{"http_headers", "headers", "failures", `write headers = {"Host": "example.org"}`},
	{"value default", "", "key", "a secret's value is never in a Pipelinefile: it is read from a Kubernetes Secret, or from what --secrets names"},
	{"required optional", "default", "", "a parameter without default= must be given"},
	{"options values", "choices", "", "write choices = […]"},
	{"description", "help", "", `write help = "…"`},
	{"context contexts cluster", "allow_contexts", "", `write allow_contexts = ["…"]`},
	{"parallelism", "deploy_parallelism", "", "write build_parallelism = 7, deploy_parallelism = 7"},
}

// command is a parameter that only services with an image have.
const command = "command"

// Param returns which of the possible parameters is meant by name, a name that other
// tools use, and the hint. Both are empty if the name is not known. A hint without a
// parameter says that there is none.
func Param(name string, possible []string) (param, hint string) {
	if len(name) > misspell.MaxName {
		return "", ""
	}
	name = misspell.Fold(name)
	for _, f := range ForeignParams {
		if f.Param != "" && !slices.Contains(possible, f.Param) || f.Of != "" && !slices.Contains(possible, f.Of) {
			continue
		}
		for other := range strings.FieldsSeq(f.Names) {
			if misspell.Fold(other) == name {
				return f.Param, f.Hint
			}
		}
	}
	return "", ""
}

// Missing returns the hint for a required parameter that a call does not pass, if the
// other arguments show what was meant.
func Missing(function, param string, given func(param string) bool) string {
	if function == "container" && param == "image" && given("chart") {
		return "a chart with its own images is deployed by helm(): write helm(…, chart = …)"
	}
	return ""
}
