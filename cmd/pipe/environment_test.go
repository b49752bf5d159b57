package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// atTerminal gives the command a terminal with a user's answers.
func (b *bench) atTerminal(answer string) {
	b.terminal = func() bool { return true }
	b.typed = b.terminal
	b.environ = []string{"TERM=dumb"} // plain lines
	b.stdin = strings.NewReader(answer)
}

// TestDeleteAsks: delete lists what will be deleted and asks for confirmation; an answer
// other than the name of the environment deletes nothing (C6).
func TestDeleteAsks(t *testing.T) {
	b := newBench(t, oneApp, "run", "--env", "staging", "--progress", "quiet")
	b.run(t, statusDone)
	b.again("delete", "staging", "--progress", "quiet")
	b.run(t, statusUsage)
	checkText(t, "stderr", b.stderr.String(), "error: delete asks for confirmation, but there is no terminal: confirm with --yes\nsee: pipe delete --help\n")

	const listed = `This deletes, in namespace shop-staging:
  release api (APPLICATION)
  the secrets, the credentials of databases and, if pipe created it, the namespace
  the records of its runs, unless they are kept in a separate namespace
Type the name of the environment to confirm: `
	for _, answer := range []string{"", "yes\n", "production\n"} {
		b.again("delete", "staging", "--progress", "quiet")
		b.atTerminal(answer)
		b.run(t, statusFailed)
		checkText(t, "stderr", b.stderr.String(), listed+"error: the answer was not \"staging\": nothing was deleted\n")
		if len(b.world.Deployer.Releases("shop-staging")) != 1 {
			t.Fatal("it is deleted all the same")
		}
	}
	b.again("delete", "staging", "--progress", "quiet")
	b.atTerminal("staging\n")
	b.run(t, statusDone)
	checkText(t, "stderr", b.stderr.String(), listed)
	if n := len(b.world.Deployer.Releases("shop-staging")); n > 0 {
		t.Errorf("%d releases are left", n)
	}
	b.again("delete", "staging", "--yes", "--progress", "quiet")
	b.run(t, statusUsage)
	checkText(t, "stderr", b.stderr.String(), "error: no environment \"staging\" of pipeline shop (none exist yet); create it with: pipe run --env staging; if its state is in another namespace, give it with --state-namespace\nsee: pipe delete --help\n")
}

// TestDamaged: an environment whose record cannot be read is listed with the others, every
// verb says what to do about it, and delete removes it.
func TestDamaged(t *testing.T) {
	b := newBench(t, oneApp)
	for _, env := range []string{"live", "staging"} {
		b.again("run", "--env", env, "--progress", "quiet")
		b.run(t, statusDone)
	}
	b.world.Store.Damage(runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"})
	const damaged = `error: environment staging of pipeline shop: record shop/staging is damaged: unexpected end of JSON input
next: delete only record shop/staging and run again, which keeps what is deployed and discards skips and moves; or delete the environment, with ALL its data: pipe delete shop/staging
`
	nowhere := t.TempDir()
	for _, args := range [][]string{
		{"envs"}, {"envs", "-o", "json"}, {"stop", "staging"}, {"run", "--env", "staging"}, {"plan", "--env", "staging", "--detailed-exitcode"}, {"history", "shop/staging"},
		{"skip", "staging", "api"}, {"clone", "staging", "copy"}, {"cancel", "staging"}, {"delete", "staging", "--yes", "--service", "api"},
	} {
		for _, dir := range []string{b.dir, nowhere} {
			if dir == nowhere && (args[0] == "run" || args[0] == "plan") {
				continue
			}
			was := b.dir
			b.again(args...)
			b.environ = []string{"PIPE_PROGRESS=quiet"}
			b.app.dir = dir
			b.run(t, statusFailed)
			b.app.dir = was
			checkText(t, "stderr of "+strings.Join(args, " "), b.stderr.String(), damaged)
		}
	}
	b.again("envs")
	b.run(t, statusFailed)
	checkText(t, "stdout", b.stdout.String(), `
PIPELINE  ENVIRONMENT  KIND         OF  BRANCH  SERVICES  SKIPPED  DELETED IN
shop      live         environment              1         0
shop      staging      damaged      record shop/staging: unexpected end of JSON input
`)
	b.again("envs", "-o", "json")
	b.run(t, statusFailed)
	var list struct {
		Environments, Damaged []struct{ Pipeline, Name, Object, Reason string }
	}
	if err := json.Unmarshal([]byte(b.stdout.String()), &list); err != nil || len(list.Environments) != 1 || len(list.Damaged) != 1 ||
		list.Damaged[0].Name != "staging" || list.Damaged[0].Object != "record shop/staging" {
		t.Errorf("envs -o json: %v\n%s", err, b.stdout.String())
	}

	b.again("delete", "staging", "--progress", "quiet")
	b.atTerminal("staging\n")
	b.run(t, statusDone)
	checkText(t, "stderr", b.stderr.String(), `
This deletes, in namespace shop-staging:
  release api (its service is not known: the record of the environment is damaged)
  the volumes of these services, with all data
  the secrets, the credentials of databases and, if pipe created it, the namespace
  the records of its runs, unless they are kept in a separate namespace
Type the name of the environment to confirm: `)
	if n := len(b.world.Deployer.Releases("shop-staging")); n > 0 {
		t.Errorf("%d releases are left", n)
	}
	if n := len(b.world.Deployer.Releases("shop-live")); n != 1 {
		t.Errorf("the other environment has %d releases", n)
	}
	b.again("envs")
	b.run(t, statusDone)
}

// TestPlanPrune: plan shows the releases that a run with --prune would remove (D5).
func TestPlanPrune(t *testing.T) {
	const two = oneApp + `application("old", source = local("api"), ports = [port(8081)])` + "\n"
	b := newBench(t, two, "run", "--env", "staging", "--progress", "quiet")
	b.run(t, statusDone)
	write(t, b.dir, "Pipelinefile", oneApp)
	b.again("plan", "--env", "staging", "--detailed-exitcode", "--progress", "quiet")
	b.run(t, statusDone)
	if out := b.stdout.String(); strings.Contains(out, "old") || !strings.HasSuffix(out, "nothing to do: everything is as the Pipelinefile says\n") {
		t.Errorf("without --prune:\n%s", out)
	}
	b.again("plan", "--env", "staging", "--prune", "--detailed-exitcode", "--progress", "quiet")
	b.run(t, statusChanges)
	_, end, _ := strings.Cut(b.stdout.String(), "-> unchanged")
	_, end, _ = strings.Cut(end, "\n")
	checkText(t, "stdout", strings.TrimLeft(end, "\n"), `
releases to be removed
  old
      -> delete: the plan has no such service any more

1 to delete, 1 unchanged
`)
	b.again("plan", "--env", "staging", "-o", "json")
	b.run(t, statusDone)
	pure := b.stdout.String()
	b.again("plan", "--env", "staging", "--prune", "-o", "json")
	b.run(t, statusDone)
	checkText(t, "plan -o json", b.stdout.String(), pure)
}

// TestWhichEnvironment: an environment is found by its pipeline, by the nearest
// Pipelinefile, or as the only one of its name.
func TestWhichEnvironment(t *testing.T) {
	b := newBench(t, oneApp, "run", "--env", "staging", "--progress", "quiet")
	b.run(t, statusDone)
	blog := newBench(t, strings.ReplaceAll(oneApp, "shop", "blog"))
	b.app.dir = blog.dir
	for _, env := range []string{"staging", "live"} {
		b.again("run", "--env", env, "--progress", "quiet")
		b.run(t, statusDone)
	}
	nowhere := t.TempDir()
	for _, tt := range []struct {
		dir, env string
		args     []string
		status   int
		want     string // of stdout or stderr
	}{
		{blog.dir, "staging", nil, statusDone, "stop blog-staging: 1 done"},
		{blog.dir, "shop/staging", nil, statusDone, "stop shop-staging: 1 done"},
		{nowhere, "staging", []string{"--pipeline", "blog"}, statusDone, "stop blog-staging: 1 unchanged"},
		{nowhere, "live", nil, statusDone, "stop blog-live: 1 done"},
		{nowhere, "staging", nil, statusUsage, "error: staging is an environment of blog and of shop: choose one with --pipeline\n"},
		{nowhere, "stagign", nil, statusUsage, "error: no environment \"stagign\"; "},
		{nowhere, "live", []string{"--pipeline", "shop"}, statusUsage, "error: no environment \"live\" of pipeline shop; there is staging\n"},
		{nowhere, "live", []string{"--service", "apj"}, statusUsage, "error: --service apj: blog has no such service; "},
	} {
		b.again(append([]string{"stop", tt.env, "--progress", "quiet"}, tt.args...)...)
		b.app.dir = tt.dir
		b.run(t, tt.status)
		if out := b.stdout.String() + b.stderr.String(); !strings.Contains(out, tt.want) {
			t.Errorf("%s %v: no %q in\n%s", tt.env, tt.args, tt.want, out)
		}
	}
	b.again("stop")
	b.run(t, statusUsage)
	checkText(t, "stderr", b.stderr.String(), "error: pipe stop takes ENV, not 0 arguments\nsee: pipe stop --help\n")
}

// TestCancel: a run that is cancelled from another machine ends with the status of an
// interrupt (C2), and says who cancelled it.
func TestCancel(t *testing.T) {
	t.Run("text", func(t *testing.T) {
		testCancel(t, "asked the run of ana@laptop to stop; it first completes its current writes\n")
	})
	t.Run("json", func(t *testing.T) {
		testCancel(t, `
{
  "version": 1,
  "pipeline": "shop",
  "environment": "staging",
  "holder": "ana@laptop"
}
`, "-o", "json")
	})
}

func testCancel(t *testing.T, want string, flags ...string) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oneApp, "run", "--env", "staging", "--progress", "quiet")
		b.world.Takes = func(string, string) time.Duration { return time.Hour }
		other := newBench(t, oneApp, append([]string{"cancel", "staging"}, flags...)...)
		other.world, other.user = b.world, "bob@desk"
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			time.Sleep(time.Minute)
			other.run(t, statusDone)
		}()
		b.run(t, statusInterrupted)
		<-ended
		checkText(t, "cancel", other.stdout.String(), want)
		checkText(t, "stderr", b.stderr.String(), "error: cancelled by bob@desk\nnext: run again to continue: completed steps are not repeated\n")
	})
}

// TestRollback rolls back to the images of an earlier run.
func TestRollback(t *testing.T) {
	b := newBench(t, oneApp, "run", "--env", "staging", "--progress", "quiet")
	b.run(t, statusDone)
	first := b.world.Deployer.Releases("shop-staging")["api"].Image
	b.world.Builder.SetSource("api", "changed")
	b.again("run", "--env", "staging", "--progress", "quiet")
	b.run(t, statusDone)
	if b.world.Deployer.Releases("shop-staging")["api"].Image == first {
		t.Fatal("the second run deployed the same image")
	}
	runs, err := b.world.Store.Runs(t.Context(), runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"})
	if err != nil || len(runs) != 2 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	b.again("rollback", "staging", runs[1].ID, "--progress", "quiet")
	b.run(t, statusDone)
	if got := b.world.Deployer.Releases("shop-staging")["api"].Image; got != first {
		t.Errorf("after the rollback %s runs, want %s", got, first)
	}
	b.again("history", "staging")
	b.run(t, statusDone)
	if !strings.Contains(b.stdout.String(), "rollback to "+runs[1].ID) {
		t.Errorf("history:\n%s", b.stdout.String())
	}
	b.again("rollback", "staging", "nothing", "--progress", "quiet")
	b.run(t, statusFailed)
	checkText(t, "stderr", b.stderr.String(), "error: run nothing of environment staging: not found; pipe history staging lists the stored runs\n")
}

// TestRunOfAClone: for a clone, a Pipelinefile is evaluated with the kind clone and the
// parameters of its last plan (E2).
func TestRunOfAClone(t *testing.T) {
	const file = `
pipeline("shop")
title = param("title", default = "Shop")
print(environment.kind, environment.source, title)
container("api", image = "redis:7", mirror = False, env = {"TITLE": title})
`
	b := newBench(t, file, "run", "--env", "staging", "--set", "title=Books", "--progress", "quiet")
	b.world.Registry.Upstream("redis:7", "sha256:0000000000000000000000000000000000000000000000000000000000000001")
	b.run(t, statusDone)
	b.again("clone", "staging", "copy")
	b.run(t, statusDone)
	if want := " 0:00  Pipelinefile:4:1: clone staging Books\n"; b.stderr.String() != want {
		t.Errorf("clone prints %q, want %q", b.stderr.String(), want)
	}
	for _, tt := range [][2]string{{"", "Books"}, {"title=Toys", "Toys"}} {
		args, want := tt[0], tt[1]
		b.again("run", "--env", "copy", "--progress", "quiet")
		if args != "" {
			b.args = append(b.args, "--set", args)
		}
		b.run(t, statusDone)
		env, err := b.world.Store.Environment(t.Context(), runtime.EnvironmentKey{Pipeline: "shop", Name: "copy"})
		if err != nil {
			t.Fatal(err)
		}
		if got := env.Plan.Params[0].Value; got != want || env.Plan.Environment.Source != "staging" {
			t.Errorf("run %s: title %q of %+v, want %q", args, got, env.Plan.Environment, want)
		}
	}
	b.again("preview", "staging")
	b.run(t, statusUsage)
	checkText(t, "stderr", b.stderr.String(), "error: a preview requires a branch: name it with --branch\nsee: pipe preview --help\n")
}

// TestDoctor: doctor shows what works, what does not, and what to do about it (C7).
func TestDoctor(t *testing.T) {
	b := newBench(t, oneApp, "doctor", "--progress", "quiet", "--buildkit", "tcp://127.0.0.1:1")
	b.environ = []string{"PIPE_HOME=" + t.TempDir()}
	b.run(t, statusFailed)
	out := b.stdout.String()
	for _, want := range []string{
		"builder   failed   builder tcp://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused\n" +
			"                   next: start buildkitd there, or choose another builder with --buildkit\n",
		"registry  ok       the embedded registry answers\n",
		"cluster   ok       it answers; it has 0 environments\n",
		"disk      ok       ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	checkText(t, "stderr", b.stderr.String(), "error: pipe cannot work here as it is\n")
	b.again("doctor", "--progress", "quiet", "-o", "json")
	b.cluster = func(context.Context, local.Options) (*local.Cluster, error) {
		return nil, &local.UnavailableError{Part: "cluster", Err: errors.New("it sleeps"), Next: "wake it"}
	}
	b.run(t, statusFailed)
	for _, want := range []string{`"version": 1`, `"text": "it sleeps",` + "\n      " + `"next": "wake it"`} {
		if !strings.Contains(b.stdout.String(), want) {
			t.Errorf("no %s in\n%s", want, b.stdout.String())
		}
	}
}

// TestNothingChanges: read-only verbs write nothing.
func TestNothingChanges(t *testing.T) {
	b := newBench(t, oneApp, "run", "--env", "staging", "--progress", "quiet")
	b.run(t, statusDone)
	before := len(b.world.Calls())
	for _, args := range [][]string{{"envs"}, {"history", "staging"}, {"graph"}, {"plan", "--env", "staging"}, {"envs", "-o", "json"}, {"history", "staging", "-o", "yaml"}} {
		b.again(args...)
		b.run(t, statusDone)
	}
	for _, c := range b.world.Calls()[before:] {
		if !readsOnly[c.Op] {
			t.Errorf("looking calls %s", c.Op)
		}
	}
}

var readsOnly = map[string]bool{
	"Store.Environment": true, "Store.Environments": true, "Store.Runs": true, "Store.Owns": true,
	"Builder.Identify": true, "Registry.Resolve": true, "Registry.Mirrored": true, "Deployer.Deployed": true, "Deployer.Images": true, "Deployer.Fingerprint": true,
}
