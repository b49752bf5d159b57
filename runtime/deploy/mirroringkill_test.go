//go:build unix

package deploy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// A copying is a deploy of a mirroring by another process.
type copying struct {
	Key           runtime.EnvironmentKey
	Dir, Registry string
	Plan          *plan.Plan
}

// run deploys it.
func (c copying) run(t *testing.T, config *rest.Config) (*runtime.RunRecord, error) {
	t.Helper()
	return mirroringOf(t, config, c.Key, c.Dir, c.Registry).run(t, c.Plan)
}

// TestMirroringKills kills processes, with SIGKILL, at requests to the registry while they copy
// the images of a chart, those that are known before the deploy and those that it finds: no
// image is published in part, and the next run copies the rest and completes (A6, I3).
func TestMirroringKills(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	way, server := newToll(testenv.Registry(t))
	t.Cleanup(server.Close)
	up := newUpstream(t)
	images := []string{up.addr + "/nginx:1", up.addr + "/kind:1", up.addr + "/looked:1", up.addr + "/more:1"}
	for _, image := range images {
		up.push(t, strings.TrimPrefix(image, up.addr+"/"))
	}
	fresh := func() copying {
		t.Helper()
		m := newMirroring(t, config)
		registry := strings.TrimPrefix(server.URL, "http://") + "/" + m.key.Pipeline
		return copying{m.key, m.dir, registry, m.latePlan(t, m.group(t), images[0], images[1], images[2:]...)}
	}
	calm := fresh()
	way.arm(point{}, false, nil)
	_, err := calm.run(t, config)
	must(t, err)
	var points []point
	for _, p := range way.arm(point{}, false, nil) {
		if p.rank() < 2 {
			points = append(points, p)
		}
	}
	killed := 0
	turns := min(max(*kills/4, 4), 2*len(points))
	for turn := range turns {
		c, at, after := fresh(), points[turn*len(points)/turns], turn%2 == 1
		if (fate{Copying: &c}).dies(t, way, at, after) {
			killed++
		} else if at.rank() == 0 {
			t.Errorf("nobody was killed at %v", at)
		}
		c.check(t, config, way, up, images, fmt.Sprintf("a kill at %v, after it %v", at, after))
	}
	t.Logf("%d processes were killed at %d requests, before or after each", killed, len(points))
}

// check checks that the images which a killed process has published are complete, that the
// next run copies only the others, and that the run after it has nothing to do.
func (c copying) check(t *testing.T, config *rest.Config, way *toll, up *upstream, images []string, after string) {
	t.Helper()
	complete := make(map[string]bool)
	host := strings.ReplaceAll(up.addr, ":", "_")
	for _, image := range images {
		path := strings.TrimSuffix(strings.TrimPrefix(image, up.addr), ":1")
		ref, err := name.ParseReference(c.Registry + "/mirror/" + host + path + ":1")
		must(t, err)
		if _, err := remote.Head(ref); err != nil {
			continue // it is not published
		}
		complete[path] = true
		if err := testenv.Whole(ref); err != nil {
			t.Errorf("after %s: %s is published: %v", after, ref, err)
		}
	}
	up.since()
	record, err := c.run(t, config)
	if err != nil {
		t.Errorf("after %s: deploy = %v", after, err)
		return
	}
	for _, request := range up.since() {
		for path := range complete {
			if strings.HasPrefix(request, "GET /v2"+path+"/blobs/") {
				t.Errorf("after %s: %s was copied again: %s", after, path, request)
			}
		}
	}
	b := &bench{t: t, namespace: c.Key.Namespace()}
	containers := b.containers("web")
	if len(containers) != len(images) || len(record.Services[1].Mirrored) != len(images) {
		t.Fatalf("after %s: %d containers and %d copied images, want %d", after, len(containers), len(record.Services[1].Mirrored), len(images))
	}
	for _, container := range containers {
		ref, err := name.NewDigest(container.Image)
		must(t, err)
		if err := testenv.Whole(ref); err != nil {
			t.Errorf("after %s: %s: %v", after, container.Image, err)
		}
	}
	way.arm(point{}, false, nil)
	record, err = c.run(t, config)
	if err != nil || record.Services[1].State != runtime.Unchanged {
		t.Errorf("after %s: once more = %+v, %v; want all unchanged", after, record, err)
	}
	for _, p := range way.arm(point{}, false, nil) {
		if p.rank() < 2 {
			t.Errorf("after %s: once more did %v", after, p)
		}
	}
	if d := mirroringOf(t, config, c.Key, c.Dir, c.Registry); d.revision(t, "web") != 1 {
		t.Errorf("after %s: revision %d of web is deployed, want 1", after, d.revision(t, "web"))
	}
}

// revision returns the deployed revision of a release.
func (m mirroring) revision(t *testing.T, name string) int {
	t.Helper()
	deployed, err := m.Deployer.Deployed(t.Context(), m.key.Namespace())
	must(t, err)
	return deployed[name].Revision
}
