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
)

// compose are the keys of a service of Compose, and kubernetes the fields of pods,
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

// TestForeign: what Compose and Kubernetes have, and what another type of service has,
// is known of every type of service: it is a parameter, or there is a hint.
func TestForeign(t *testing.T) {
	services := []*Func{applicationFunc, containerFunc, jobFunc, databaseFunc}
	known := strings.Fields(compose + " " + kubernetes)
	for _, f := range services {
		known = append(known, params(f)...)
	}
	for _, f := range services {
		have := params(f)
		for _, name := range known {
			if _, ok := f.byName[name]; ok {
				continue
			}
			param, hint := foreign(name, have)
			if hint == "" {
				t.Errorf("%s(%s=) has no hint", f.Name, name)
			}
			if _, ok := f.byName[param]; param != "" && !ok {
				t.Errorf("%s(%s=): the hint is about %s=, which it does not have", f.Name, name, param)
			}
		}
	}
}

// TestForeignRows: each row can be reached: it has a name that no row before has for
// the same builtins, and parameters that some builtin has.
func TestForeignRows(t *testing.T) {
	reached := map[string]bool{}
	for _, f := range standard {
		have := params(f)
		for _, row := range foreignParams {
			for _, name := range strings.Fields(row.names) {
				if _, ok := f.byName[name]; ok {
					continue
				}
				if _, hint := foreign(name, have); hint == row.hint {
					reached[row.hint+name] = true
				}
			}
		}
	}
	for _, row := range foreignParams {
		for _, name := range strings.Fields(row.names) {
			if !reached[row.hint+name] {
				t.Errorf("no builtin has the hint %q for %s=", row.hint, name)
			}
		}
	}
}

// TestForeignCode: what a hint says to write can be written.
func TestForeignCode(t *testing.T) {
	written := regexp.MustCompile(`write ([a-z_]+ = .*?)(?:, as Kubernetes has it|, (?:tcp.*|or .*)|; .*| to leave .*|: pipe forward .*)?$`)
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := cmp.Or(root.Mkdir("src", 0o755), root.WriteFile("Dockerfile", []byte("FROM x\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, row := range foreignParams {
		m := written.FindStringSubmatch(row.hint)
		if m == nil || strings.Contains(m[1], "…") {
			continue
		}
		tried++
		var wrong []string
		for _, call := range []string{
			`application("a", image = "x:1", ports = [80], `, `application("a", image = "x:1", `, `application("a", `, `job("a", image = "x:1", `,
			`database("a", engine = "redis", version = "7", `, `container("a", `, "dockerfile(", "resources(", "port(80, ", `pipeline("a", `,
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

func params(f *Func) []string {
	var names []string
	for i, p := range f.Params {
		if i != f.rest {
			names = append(names, p.Name)
		}
	}
	return names
}
