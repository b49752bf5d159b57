package build_test

import (
	"fmt"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// labelled is an image for an architecture with the label of a builder.
func labelled(t testing.TB, architecture, label string) v1.Image {
	t.Helper()
	img := imageOfFiles(t, v1.Config{}, files{"etc/builder": architecture})
	return reconfigured(t, img, func(c *v1.ConfigFile) {
		c.Architecture = architecture
		if label != "" {
			c.Config.Labels = map[string]string{"io.buildpacks.builder.metadata": label}
		}
	})
}

// platformIndex is an index of images by their architectures.
func platformIndex(all map[string]v1.Image) v1.ImageIndex {
	index := v1.ImageIndex(empty.Index)
	for architecture, img := range all {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}}})
	}
	return index
}

// TestRunImages: a builder image names its run image in one of two places of its label, for each platform.
func TestRunImages(t *testing.T) {
	const own = goruntime.GOARCH
	host := images(t)
	stack := `{"stack":{"runImage":{"image":"example.org/run:1","mirrors":["example.com/run:1","example.net/run:1","example.org/run:1",""]}}}`
	newer := `{"images":[{"image":"run:2"},{"image":"run:3"}],"stack":{"runImage":{"image":"run:1"}}}`
	many := `{"images":[{"image":"run","mirrors":["a.io/r","b.io/r","c.io/r","d.io/r","e.io/r","f.io/r","g.io/r","h.io/r","i.io/r","j.io/r"]}]}`
	for what, test := range map[string]struct {
		image     remote.Taggable
		platforms []string
		names     []string
		want      string // of the error
		next      string
	}{
		"a stack":          {image: labelled(t, own, stack), names: []string{"example.com/run:1", "example.org/run:1", "example.net/run:1"}},
		"a newer builder":  {image: labelled(t, own, newer), names: []string{"run:2"}},
		"many mirrors":     {image: labelled(t, own, many), names: []string{"run", "a.io/r", "b.io/r", "c.io/r", "d.io/r", "e.io/r", "f.io/r", "g.io/r", "h.io/r", "i.io/r"}},
		"two platforms":    {image: platformIndex(map[string]v1.Image{"amd64": labelled(t, "amd64", newer), "arm64": labelled(t, "arm64", newer)}), platforms: []string{"linux/amd64", "linux/arm64"}, names: []string{"run:2"}},
		"one of several":   {image: platformIndex(map[string]v1.Image{"amd64": labelled(t, "amd64", newer), "arm64": labelled(t, "arm64", stack)}), platforms: []string{"linux/amd64"}, names: []string{"run:2"}},
		"two that differ":  {image: platformIndex(map[string]v1.Image{"amd64": labelled(t, "amd64", newer), "arm64": labelled(t, "arm64", stack)}), platforms: []string{"linux/amd64", "linux/arm64"}, want: "names the run image run:2 for linux/amd64, and example.com/run:1 for linux/arm64", next: "with run_image= of buildpack()"},
		"other platforms":  {image: labelled(t, "riscv64", newer), want: "the builder example.com/builder:1 is for linux/riscv64, not for linux/" + own, next: "name a builder for that platform"},
		"none":             {image: labelled(t, own, `{"images":[]}`), want: "web/Pipelinefile:7:3: the builder example.com/builder:1 names no run image: its label io.buildpacks.builder.metadata has none", next: "with run_image= of buildpack()"},
		"no builder":       {image: labelled(t, own, ""), want: "is not a builder of Cloud Native Buildpacks", next: "builder= of buildpack()"},
		"a label of words": {image: labelled(t, own, "x"), want: "has a label that cannot be read", next: "another version"},
	} {
		t.Run(what, func(t *testing.T) {
			to, err := name.NewTag(host + "/" + strings.ReplaceAll(what, " ", "-") + ":1")
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.Push(to, test.image); err != nil {
				t.Fatal(err)
			}
			raw, err := test.image.RawManifest()
			if err != nil {
				t.Fatal(err)
			}
			s := spec("web")
			s.Dockerfile, s.Buildpack, s.Platforms = "", &plan.Buildpack{}, test.platforms
			s.Pos = plan.Pos{File: "web/Pipelinefile", Line: 7, Col: 3}
			s.ImageArgs = map[string]plan.ImageSource{plan.BuildpackBuilder: {Mirror: "example.com/builder:1"}}
			s.Bases = map[string]plan.Base{plan.BuildpackBuilder: {Ref: runtime.ByDigest(to.String(), plan.DigestOf(raw))}}
			names, err := commandBuilder(t, t.TempDir()).RunImages(t.Context(), s)
			if !slices.Equal(names, test.names) || test.want == "" && err != nil || test.want != "" && !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("RunImages = %v, %v", names, err)
			}
			if advice, _ := runtime.AdviceOf(err); !strings.Contains(advice.Do, test.next) {
				t.Errorf("the advice is %q, want %q", advice.Do, test.next)
			}
		})
	}
}
