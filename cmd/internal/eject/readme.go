package eject

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/chart"
)

// readme tells how the folder is deployed without pipe.
func readme(r *Result) string {
	var b strings.Builder
	namespace := plan.Namespace(r.Pipeline, r.Environment)
	fmt.Fprintf(&b, mark+`
# %[1]s, environment %[2]s, as Helm charts

A folder is the chart of the service of that name, a file `+"`*.values.yaml`"+` what it is deployed with. They make the objects that
pipe deploys. Releases of pipe are ordinary Helm releases: the commands below go on with those that are there.

`, r.Pipeline, r.Environment)
	writeSecrets(&b, r, namespace)
	b.WriteString("## Deploy\n\nIn this folder, in this order; a stage begins when the one before it is ready.\n")
	stage := ""
	var later []Service
	for _, s := range r.Services {
		if j := s.plan.Workload.Job; j != nil && j.Schedule == "" && j.On != plan.OnDeploy {
			later = append(later, s)
			continue
		}
		if s.Stage != stage {
			stage = s.Stage
			fmt.Fprintf(&b, "\n### %s\n", stage)
		}
		writeCommand(&b, s, namespace)
	}
	for _, s := range later {
		fmt.Fprintf(&b, "\n### %s, on %s\n\nIt is not deployed with the others, but before the environment is to %[2]s.\n", s.Name, s.plan.Workload.Job.On)
		writeCommand(&b, s, namespace)
	}
	b.WriteString(`
## What pipe does besides

- It builds images, copies those of others into its registry, and names each by its digest. The values here name images as the
  Pipelinefile does, and of those that are built none.
- It sets ` + "`global.pipe.secrets`" + ` to what changes with the values of secrets, which annotates pods with ` + "`checksum/secrets`" + `, so that
  they start anew. Without pipe they have no such annotation; start them anew with ` + "`kubectl rollout restart`" + `. The first
  deploy of this folder over one of pipe therefore starts pods with secrets anew, and runs jobs with secrets again.
- It makes the Secrets above, finds the key of a Secret that has only one under another name, and deletes a failed Job
  before it deploys it again.
- A failed upgrade goes back to the last good revision: with Helm, ` + "`--rollback-on-failure`" + ` (before Helm 4 ` + "`--atomic`" + `).
`)
	return b.String()
}

func writeCommand(b *strings.Builder, s Service, namespace string) {
	args := []string{"helm", "upgrade", "--install", s.Name, s.Chart}
	if s.Repo != "" {
		args = append(args, "--repo", s.Repo)
	}
	if s.Version != "" {
		args = append(args, "--version", s.Version)
	}
	args = append(args, "--namespace", namespace, "--create-namespace", "--values", s.Values)
	for _, set := range s.sets {
		args = append(args, "--set", set)
	}
	if s.Built && s.plan.Chart == nil {
		args = append(args, "--set", "image.reference=REGISTRY/IMAGE@DIGEST")
	}
	args = append(args, "--wait", "--wait-for-jobs", "--timeout", time.Duration(s.plan.Timeout).String())
	for i, arg := range args {
		args[i] = quote(arg)
	}
	fmt.Fprintf(b, "\n```sh\n%s\n```\n", strings.Join(args, " "))
	if s.plan.Chart != nil && s.Repo != s.plan.Chart.Repo {
		b.WriteString("\nThe chart repository wants a user and a password: add `--username` and `--password`.\n")
	}
	if len(s.sets) > 0 {
		fmt.Fprintf(b, "\nThe `--set` of numbers keep them exact: Helm reads those of a file as floats, and shows large ones with an exponent.\n")
	}
	switch {
	case s.Built && s.plan.Chart != nil:
		fmt.Fprintf(b, "\nIts image is built: give it to the chart under `image`, in the form that the chart's own values have.\n")
	case s.Built:
		fmt.Fprintf(b, "\nIts image is built: put its address in the place of REGISTRY/IMAGE@DIGEST.\n")
	}
}

// writeSecrets tells which Secrets have to be there, and how they are made.
func writeSecrets(b *strings.Builder, r *Result, namespace string) {
	credentials := make(map[string]plan.Service) // of databases that are written, by name
	data := make(map[string]map[string]string)   // of Secrets, by name
	for _, s := range r.Services {
		if s.plan.Workload.Database != nil {
			credentials[s.Name] = s.plan
		}
		for _, secret := range s.Secrets {
			if data[secret.Name] == nil {
				data[secret.Name] = make(map[string]string)
			}
			data[secret.Name][secret.Key] = "VALUE"
		}
	}
	if len(data) == 0 {
		return
	}
	for _, s := range credentials {
		data[plan.CredentialsName(s.Name)] = chart.Credentials(s, chart.User(s), "PASSWORD")
	}
	fmt.Fprintf(b, `## Secrets

No value of a secret is in this folder. Pods read them from these Secrets of namespace %s. Where pipe has deployed, they are
there already: leave them as they are, as the credentials of a database are those with which it was first started. Otherwise
make them, with values in the place of the capitals:

`+"```sh\n", namespace)
	fmt.Fprintf(b, "kubectl create namespace %s\n", namespace)
	for _, name := range slices.Sorted(maps.Keys(data)) {
		fmt.Fprintf(b, "kubectl --namespace %s create secret generic %s", namespace, name)
		for _, key := range slices.Sorted(maps.Keys(data[name])) {
			fmt.Fprintf(b, " %s", quote("--from-literal="+key+"="+data[name][key]))
		}
		b.WriteString("\n")
	}
	b.WriteString("```\n\n")
}

// plain matches what a shell takes as it is.
var plain = regexp.MustCompile(`^[-+=:,./@_0-9A-Za-z]+$`)

// quote writes a word for a shell.
func quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
