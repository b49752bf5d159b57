package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// evalFlags are the flags for evaluating a Pipelinefile.
type evalFlags struct {
	env string
	namespaceFlag
	set    []string
	params []string
	trees  *interp.Trees // kept between the evaluations of watch mode; may be nil
}

func (f *evalFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.env, "env", "default", "the `environment`, e.g. --env staging")
	f.namespaceFlag.add(cmd)
	f.addParams(cmd)
}

// ref returns the environment that a Pipelinefile is evaluated for.
func (f *evalFlags) ref() plan.EnvironmentRef {
	return plan.EnvironmentRef{Name: f.env, Kind: plan.KindEnvironment, Namespace: f.namespace}
}

// namespaceFlag is the flag that gives an environment another namespace than the
// Pipelinefile declares, and finds it there.
type namespaceFlag struct{ namespace string }

func (f *namespaceFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.namespace, "namespace", "", "the Kubernetes `namespace` of the environment, e.g. --namespace mastodon "+
		"(default: namespace= of the Pipelinefile, else PIPELINE-ENVIRONMENT)")
}

// addParams adds the flags that set parameters.
func (f *evalFlags) addParams(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringArrayVar(&f.set, "set", nil, "give a parameter a value as `name=value`, e.g. --set title=Shop; repeatable")
	fs.StringArrayVar(&f.params, "params", nil,
		"read values of parameters from a YAML or JSON `file`, e.g. --params staging.yaml; repeatable, --set takes precedence")
}

// partFlags select the parts of a runtime.
type partFlags struct {
	registry   string
	buildkit   []string
	tls        string
	cache      string // of builds
	kubeconfig string
	context    string
	local      bool
	secrets    []string
	state      string // namespace
	keepRuns   int
}

func (f *partFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.registry, "registry", "",
		"keep images in this `registry`, e.g. --registry registry.example.com/shop (default: registry= of the Pipelinefile, else the embedded one)")
	f.addBuilders(cmd, "build at this `address`, e.g. --buildkit tcp://builder:1234; repeatable, builds are distributed")
	fs.StringVar(&f.cache, "build-cache", "", "keep the cache of builds in this `repository` of a registry, too, e.g. --build-cache registry.example.com/shop/cache")
	fs.StringArrayVar(&f.secrets, "secrets", nil, "take the values of secrets from a `source`: a .env or YAML file, which may be encrypted by SOPS or refer to managers, - for standard input, env: or env:PREFIX_ "+
		"for variables of the environment, e.g. --secrets secrets.env; repeatable, the first that has a secret takes precedence")
	fs.IntVar(&f.keepRuns, "keep-runs", 50, "keep the records of this `number` of runs of the environment, e.g. --keep-runs 200")
	f.addCluster(cmd)
}

// addBuilders adds the flags that select builders.
func (f *partFlags) addBuilders(cmd *cobra.Command, help string) {
	fs := cmd.Flags()
	fs.StringSliceVar(&f.buildkit, "buildkit", nil, help+" (default: $BUILDKIT_HOST, else the embedded one)")
	fs.StringVar(&f.tls, "buildkit-tls", "", "a `directory` with ca.pem, cert.pem and key.pem for a builder at tcp://, e.g. --buildkit-tls ~/.buildkit")
}

// addCluster adds the flags that select the cluster and where its state is.
func (f *partFlags) addCluster(cmd *cobra.Command) {
	f.addClusterOnly(cmd)
	cmd.Flags().StringVar(&f.state, "state-namespace", "", "keep the state of all environments in this `namespace`, e.g. --state-namespace pipe-state "+
		"(default: each in its environment's own)")
}

// addClusterOnly adds the flags that select the cluster.
func (f *partFlags) addClusterOnly(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.kubeconfig, "kubeconfig", "",
		"a kubeconfig `file`, e.g. --kubeconfig staging.conf (default: $KUBECONFIG, else ~/.kube/config)")
	fs.StringVar(&f.context, "context", "", "a `context` of the kubeconfig, e.g. --context staging (default: its current one)")
	fs.BoolVar(&f.local, "local", false, "use the local Kubernetes, which is started if it is not running, e.g. pipe run --local")
}

// showFlags control how progress and results are shown.
type showFlags struct {
	progress string
	output   string
	since    time.Time // start of a verb that keeps running; zero: times count from the first progress
}

func (f *showFlags) add(cmd *cobra.Command) {
	f.addOutput(cmd)
	f.addProgress(cmd)
}

func (f *showFlags) addProgress(cmd *cobra.Command) {
	f.progress = string(ui.Auto)
	modes := make([]string, len(ui.Modes))
	for i, m := range ui.Modes {
		modes[i] = string(m)
	}
	choice(cmd, &f.progress, "progress", "", modes, "show progress as `mode`, on standard error, e.g. --progress plain: "+list(modes))
}

func (f *showFlags) addOutput(cmd *cobra.Command) {
	f.output = "text"
	formats := []string{"text", "json", "yaml"}
	choice(cmd, &f.output, "output", "o", formats, "write the result as `format`, on standard output, e.g. -o json: "+list(formats))
}

// runFlags control how a run works.
type runFlags struct {
	services  []string
	keepGoing bool
	force     bool
	onFailure string
	prune     bool
	adopt     bool
	waitLock  bool
	supersede bool
	timeout   time.Duration
}

// add adds all flags of a deploy.
func (f *runFlags) add(cmd *cobra.Command) {
	f.addServices(cmd)
	f.addDeploy(cmd)
	f.addWay(cmd)
}

// addDeploy adds the flags of deploys only.
func (f *runFlags) addDeploy(cmd *cobra.Command) {
	f.onFailure = string(runtime.Rollback)
	outcomes := []string{string(runtime.Rollback), string(runtime.Keep)}
	choice(cmd, &f.onFailure, "on-failure", "", outcomes, "`what` to do with a release whose upgrade failed, e.g. --on-failure keep: "+list(outcomes))
	f.addPrune(cmd)
	f.addForce(cmd)
	f.addAdopt(cmd)
}

func (f *runFlags) addAdopt(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.adopt, "take-ownership", false, "take over the releases and objects that exist, as adopt=True of every service does, e.g. pipe run --take-ownership")
}

func (f *runFlags) addPrune(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.prune, "prune", false, "delete releases whose service is no longer in the plan, e.g. pipe run --prune")
}

// addWay adds the flags of every run.
func (f *runFlags) addWay(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&f.keepGoing, "keep-going", false, "after a failure, continue within the stage, but not with the next stage, e.g. pipe run --keep-going")
	fs.BoolVar(&f.waitLock, "wait-lock", false, "wait while another run holds the environment, e.g. pipe run --wait-lock")
	fs.BoolVar(&f.supersede, "supersede", false, "with --wait-lock: supersede other waiting runs, which then end, e.g. pipe run --wait-lock --supersede")
	fs.DurationVar(&f.timeout, "timeout", 0, "end the run after this `time`, e.g. --timeout 30m (default: 0, no limit)")
	zeroIsMeant(cmd, "timeout")
}

func (f *runFlags) addServices(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.services, "service", nil, "operate only on this `service`, even if skipped, e.g. --service api; repeatable")
}

func (f *runFlags) addForce(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.force, "force", false, "deploy even if unchanged, e.g. pipe run --force --service api")
}

// A choiceValue is a flag with a fixed set of values.
type choiceValue struct {
	value   *string
	choices []string
}

// choice adds such a flag, with its completion.
func choice(cmd *cobra.Command, value *string, name, short string, choices []string, usage string) {
	cmd.Flags().VarP(&choiceValue{value, choices}, name, short, usage)
	// It fails only for an undefined flag.
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp))
}

func (c *choiceValue) String() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}

func (c *choiceValue) Type() string { return "string" }

func (c *choiceValue) Set(v string) error {
	if !slices.Contains(c.choices, v) {
		return fmt.Errorf("not one of %s%s", list(c.choices), suggestion(v, c.choices))
	}
	*c.value = v
	return nil
}

// list joins choices as in help texts: "text, json or yaml".
func list(choices []string) string {
	n := len(choices) - 1
	return strings.Join(choices[:n], ", ") + " or " + choices[n]
}
