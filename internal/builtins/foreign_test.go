package builtins

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/internal/explain"
)

// compose are the keys of a Compose service, and kubernetes the fields of pods,
// containers, workloads and Services, as they are written there.
const (
	compose = `annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count cpu_percent cpu_period cpu_quota
		cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname driver_opts
		entrypoint env_file environment expose extends external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file labels links logging
		mac_address mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports
		post_start pre_stop privileged profiles provider pull_policy read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal
		storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir`
	kubernetes = `activeDeadlineSeconds affinity args automountServiceAccountToken backoffLimit clusterIP command completionMode completions concurrencyPolicy containers
		dnsConfig dnsPolicy enableServiceLinks env envFrom externalIPs externalName fsGroup hostAliases hostIPC hostNetwork hostPID hostname image imagePullPolicy
		imagePullSecrets ingressClassName initContainers lifecycle livenessProbe minReadySeconds namespace nodeName nodePort nodeSelector parallelism podManagementPolicy ports
		priority priorityClassName progressDeadlineSeconds readinessProbe replicas resources restartPolicy revisionHistoryLimit runAsNonRoot runAsUser runtimeClassName
		schedulerName securityContext selector serviceAccount serviceAccountName serviceName sessionAffinity shareProcessNamespace startupProbe stdin stdinOnce
		storageClassName strategy subdomain supplementalGroups suspend targetPort terminationGracePeriodSeconds timeZone tolerations topologySpreadConstraints
		ttlSecondsAfterFinished tty type updateStrategy volumeClaimTemplates volumeMounts volumes workingDir`
)

// TestForeign checks that every type of service knows the parameters of Compose,
// Kubernetes and the other types of services: each is a parameter, or there is a hint.
func TestForeign(t *testing.T) {
	services := []*builtins.Func{applicationFunc, containerFunc, jobFunc, databaseFunc}
	known := strings.Fields(compose + " " + kubernetes)
	for _, f := range services {
		known = append(known, params(f)...)
	}
	for _, f := range services {
		have := params(f)
		for _, name := range known {
			if f.Has(name) {
				continue
			}
			param, hint := explain.Param(name, have)
			if hint == "" {
				t.Errorf("%s(%s=) has no hint", f.Name, name)
			}
			if param != "" && !f.Has(param) {
				t.Errorf("%s(%s=): the hint is about %s=, which it does not have", f.Name, name, param)
			}
		}
	}
}

// TestForeignRows checks that each row can be reached: it has a name that no earlier row
// has for the same builtins, and parameters that some builtin has.
func TestForeignRows(t *testing.T) {
	reached := map[string]bool{}
	for _, f := range standard {
		have := params(f)
		for _, row := range explain.ForeignParams {
			for _, name := range strings.Fields(row.Names) {
				if f.Has(name) {
					continue
				}
				if _, hint := explain.Param(name, have); hint == row.Hint {
					reached[row.Hint+name] = true
				}
			}
		}
	}
	for _, row := range explain.ForeignParams {
		for _, name := range strings.Fields(row.Names) {
			if !reached[row.Hint+name] {
				t.Errorf("no builtin has the hint %q for %s=", row.Hint, name)
			}
		}
	}
}

// TestForeignCode checks that the code in hints is valid.
func TestForeignCode(t *testing.T) {
	written := regexp.MustCompile(`write ([a-z_]+ = .*?)(?:, as Kubernetes has it|, (?:tcp.*|or .*)|; .*| to leave .*|: pipe forward .*)?$`)
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := cmp.Or(root.Mkdir("src", 0o755), root.WriteFile("Dockerfile", []byte("FROM x\n"), 0o644), root.WriteFile("app.conf", nil, 0o644), root.WriteFile(".env", nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, row := range explain.ForeignParams {
		m := written.FindStringSubmatch(row.Hint)
		if m == nil || strings.Contains(m[1], "…") {
			continue
		}
		tried++
		var wrong []string
		for _, call := range []string{
			`application("a", image = "x:1", ports = [80], `, `application("a", image = "x:1", `, `application("a", `, `job("a", image = "x:1", `,
			`database("a", engine = "redis", version = "7", `, `container("a", `, "dockerfile(", "resources(", "port(80, ", `pipeline("a", `, `database("a", engine = "postgresql", version = "17", `, `file("x", `, `http("/", `, `volume("/a", size = "1Gi", `,
		} {
			s := NewSession(NewFiles(root, 1<<20))
			s.Environment.Name = "default"
			env := s.Predeclared(nil)
			env["api"] = starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{"url": starlark.String("http://api:80")})
			_, err := starlark.EvalOptions(&syntax.FileOptions{}, new(starlark.Thread), "hint", call+m[1]+")", env)
			if err == nil && !s.Failed() {
				wrong = nil
				break
			}
			wrong = append(wrong, fmt.Sprintf("%s%s): %v %v", call, m[1], err, s.Errors()))
		}
		for _, w := range wrong {
			t.Error(w)
		}
	}
	if tried < 30 {
		t.Errorf("%d hints were tried", tried)
	}
}

func params(f *builtins.Func) []string {
	var names []string
	for _, p := range f.Params {
		if !p.Variadic {
			names = append(names, p.Name)
		}
	}
	return names
}
