package main

import (
	"strings"
	"testing"
)

// TestPlanOverridden: plan shows services with the overrides of the environment, in their
// stages, and says so; -o json is still the plan of the file (E4, S6).
func TestPlanOverridden(t *testing.T) {
	const file = `
pipeline("shop")
data = stage("data")
apps = stage("apps")
late = stage("late")
def redis(name, **more):
    container(name, image = "redis:7", mirror = False, **more)
redis("cache", stage = data)
redis("queue", stage = data)
redis("mail", stage = apps, skip = True)
redis("chat", stage = apps)
`
	b := newBench(t, file, "run", "--env", "staging", "--progress", "quiet")
	b.world.Registry.Upstream("redis:7", "sha256:0000000000000000000000000000000000000000000000000000000000000001")
	b.run(t, statusDone)
	b.again("plan", "--env", "staging", "-o", "json")
	b.run(t, statusDone)
	pure := b.stdout.String()
	for _, args := range [][]string{{"move", "staging", "--stage", "late", "queue"}, {"unskip", "staging", "mail"}, {"skip", "staging", "chat"}} {
		b.again(args...)
		b.run(t, statusDone)
	}
	b.again("plan", "--env", "staging", "--progress", "quiet")
	b.run(t, statusDone)
	checkText(t, "stdout", b.stdout.String(), `
shop: environment staging, namespace shop-staging

stage 1: data  (Pipelinefile:3:8)
  cache  CONTAINER  (Pipelinefile:7:5, called at Pipelinefile:8:1)
      image redis:7, from where it is
      chart generated
      -> unchanged: already deployed

stage 2: apps  (Pipelinefile:4:8)
  mail  CONTAINER  (Pipelinefile:7:5, called at Pipelinefile:10:1)
      no longer skipped by environment staging
      image redis:7, from where it is
      chart generated
      -> deploy: not deployed yet
  chat  CONTAINER  (Pipelinefile:7:5, called at Pipelinefile:11:1)
      skipped by environment staging
      image redis:7, from where it is
      chart generated
      -> skipped: skipped in environment staging

stage 3: late  (Pipelinefile:5:8)
  queue  CONTAINER  (Pipelinefile:7:5, called at Pipelinefile:9:1)
      moved here from stage data by environment staging
      image redis:7, from where it is
      chart generated
      -> unchanged: already deployed

1 to deploy, 2 unchanged, 1 skipped
`)
	b.again("plan", "--env", "staging", "-o", "json")
	b.run(t, statusDone)
	checkText(t, "plan -o json", b.stdout.String(), pure)

	b.again("plan", "--env", "other", "--progress", "quiet")
	b.run(t, statusDone)
	if strings.Contains(b.stdout.String(), "by environment") {
		t.Errorf("another environment is not overridden:\n%s", b.stdout.String())
	}
}
