package eject

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/chart"
)

// readme explains how to deploy the directory without pipe.
func readme(r *Result) string {
	var b strings.Builder
	namespace := r.namespace
	fmt.Fprintf(&b, mark+`
# %[1]s, environment %[2]s, as Helm charts

Each directory is the chart of the service with the same name, each file `+"`*.values.yaml`"+` the values of a service. They create the objects that
pipe deploys. Releases of pipe are ordinary Helm releases: the commands below upgrade existing ones.

`, r.Pipeline, r.Environment)
	writeSecrets(&b, r, namespace)
	if r.disks {
		writeDiskCommand(&b, namespace)
	}
	b.WriteString("## Deploy\n\nRun these commands in this directory, in this order; a stage starts when the previous one is ready.\n")
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
		fmt.Fprintf(&b, "\n### %s, on %s\n\nIt is not part of a deployment. Deploy it before you %[2]s the environment.\n", s.Name, s.plan.Workload.Job.On)
		writeCommand(&b, s, namespace)
	}
	b.WriteString(`
## What pipe does in addition

- It builds images, mirrors others into its registry, and refers to each by digest. The values here name images as the
  Pipelinefile does, and do not include built images. Charts and manifests of others name their own images here, which
  pipe replaces by the copies in its registry.
- It sets ` + "`global.pipe.secrets`" + ` to a checksum of the values of secrets, which annotates pods with ` + "`checksum/secrets`" + `, so that
  they restart when a value changes. Without pipe they have no such annotation; restart them with ` + "`kubectl rollout restart`" + `. The first
  deployment of this directory over one by pipe therefore restarts pods with secrets, and runs jobs with secrets again.
- It creates the Secrets above, finds the key of a Secret that has a single key of another name, and deletes a failed Job
  before it deploys it again.
- It rolls a failed upgrade back to the last good revision: with Helm, ` + "`--rollback-on-failure`" + ` (before Helm 4 ` + "`--atomic`" + `).
`)
	return b.String()
}

// writeGo explains how the image of a Go program is made.
func writeGo(b *strings.Builder, made *plan.BuildSpec) {
	words := []string{"CGO_ENABLED=0", "go", "build", "-trimpath", "-buildvcs=false"}
	for _, flag := range made.Go.Flags {
		words = append(words, quote(flag))
	}
	base := "an empty image"
	if from, ok := made.ImageArgs[plan.GoBase]; ok {
		base = cmp.Or(from.Mirror+from.Ref, "the image of "+from.Build)
	}
	plain := strings.NewReplacer("`", "'", "\n", " ")
	fmt.Fprintf(b, "\npipe makes an image with `%s` in `%s`: it adds the program to %s, as `%s`, which is the entry point.\n",
		plain.Replace(strings.Join(words, " ")), plain.Replace(path.Join(made.Source.Path, made.Go.Package)), base, plain.Replace(made.Go.Program()))
}

// writeBuildpack explains how buildpacks make an image.
func writeBuildpack(b *strings.Builder, made *plan.BuildSpec) {
	of := func(arg string) string {
		from := made.ImageArgs[arg]
		return cmp.Or(from.Mirror+from.Ref, "IMAGE-OF-"+strings.ToUpper(from.Build))
	}
	words := []string{"pack", "build", "REGISTRY/IMAGE", "--publish", "--builder", of(plan.BuildpackBuilder)}
	if _, ok := made.ImageArgs[plan.BuildpackRun]; ok {
		words = append(words, "--run-image", of(plan.BuildpackRun))
	}
	words = append(words, "--path", cmp.Or(made.Source.Path, "."))
	for _, name := range slices.Sorted(maps.Keys(made.Buildpack.Env)) {
		words = append(words, "--env", name+"="+made.Buildpack.Env[name])
	}
	for i, word := range words {
		words[i] = quote(word)
	}
	plain := strings.NewReplacer("`", "'", "\n", " ")
	fmt.Fprintf(b, "\npipe makes an image with buildpacks, as `%s` does.\n", plain.Replace(strings.Join(words, " ")))
}

func writeCommand(b *strings.Builder, s Service, namespace string) {
	args := []string{"helm", "upgrade", "--install", s.Name, s.Chart}
	if s.Repo != "" {
		args = append(args, "--repo", s.Repo)
	}
	if s.Version != "" {
		args = append(args, "--version", s.Version)
	}
	args = append(args, "--namespace", cmp.Or(s.Namespace, namespace), "--create-namespace", "--values", s.Values)
	for _, set := range s.sets {
		args = append(args, "--set", set)
	}
	if s.Built && s.plan.Chart == nil {
		args = append(args, "--set", "image.reference=REGISTRY/IMAGE@DIGEST")
	}
	built := s.Built && s.plan.Chart == nil
	for _, im := range s.Images {
		if im.Built && s.plan.Chart == nil {
			args, built = append(args, "--set", "images."+im.Name+"=REGISTRY/IMAGE@DIGEST"), true
		}
	}
	for _, f := range s.missing {
		args = append(args, "--set-string", setPath(f.Path)+"="+placeholder(f))
	}
	args = append(args, "--wait", "--wait-for-jobs", "--timeout", time.Duration(s.plan.Timeout).String())
	for i, arg := range args {
		args[i] = quote(arg)
	}
	fmt.Fprintf(b, "\n```sh\n%s\n```\n", strings.Join(args, " "))
	if s.plan.Chart != nil && s.Repo != s.plan.Chart.Repo {
		b.WriteString("\nThe chart repository requires a user and a password: add `--username` and `--password`.\n")
	}
	if len(s.missing) > 0 {
		b.WriteString("\nReplace the words in capitals: the values of secrets and the images that pipe builds are not in the values file.\n")
	}
	if len(s.sets) > 0 {
		fmt.Fprintf(b, "\nThe `--set` arguments keep integers exact: Helm reads the numbers of a file as floats, and prints large ones with an exponent.\n")
	}
	switch {
	case s.Built && s.plan.Chart != nil:
		fmt.Fprintf(b, "\npipe builds its image: set it under `image`, in the form of the chart's values.\n")
	case built:
		fmt.Fprintf(b, "\npipe builds its image: replace REGISTRY/IMAGE@DIGEST with its reference.\n")
	}
	for _, made := range s.programs {
		if made.Go != nil {
			writeGo(b, made)
			continue
		}
		if made.Buildpack != nil {
			writeBuildpack(b, made)
			continue
		}
		words := make([]string, len(made.Command.Args))
		for i, arg := range made.Command.Args {
			words[i] = quote(arg)
		}
		plain := strings.NewReplacer("`", "'", "\n", " ")
		fmt.Fprintf(b, "\npipe runs `%s` in `%s` to make an image, which it writes to $%s: do so in your pipeline, and push the image.\n",
			plain.Replace(strings.Join(words, " ")), plain.Replace(path.Join(made.Source.Path, made.Context)), plan.OutputVariable)
	}
}

// setPath returns the path of a value in the form of --set. A number is the index of an
// element, as lists are the only values whose keys pipe writes as numbers.
func setPath(path []string) string {
	var b strings.Builder
	for i, key := range path {
		if n, err := strconv.Atoi(key); err == nil && n >= 0 && i > 0 {
			fmt.Fprintf(&b, "[%d]", n)
			continue
		}
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(escapeKey.Replace(key))
	}
	return b.String()
}

// placeholder returns a word in capitals for a value that is missing in the values file.
func placeholder(f plan.Filled) string {
	switch {
	case f.Secret == nil && f.Part == "":
		return "REGISTRY/IMAGE@DIGEST"
	case f.Secret == nil:
		return strings.ToUpper(string(f.Part))
	case f.Secret.Service != "":
		return strings.ToUpper(f.Secret.Service + "_" + f.Secret.Key)
	case f.Secret.Key != "":
		return strings.ToUpper(f.Secret.Name + "_" + f.Secret.Key)
	}
	return strings.ToUpper(f.Secret.Name)
}

// writeSecrets lists the required Secrets and explains how to create them.
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

This directory contains no secret values. Pods read them from these Secrets in namespace %s. If pipe has deployed, they exist
already: leave them unchanged, because a database keeps the credentials with which it was first started. Otherwise
create them, replacing the words in capitals with values:

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

// plain matches words that a shell does not need quoted.
var plain = regexp.MustCompile(`^[-+=:,./@_0-9A-Za-z]+$`)

// quote quotes a word for a shell.
func quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
