package build

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// TestBuildpacksOf: only names and versions are taken from the label of an image, which may be anything.
func TestBuildpacksOf(t *testing.T) {
	many := make([]map[string]string, 2*maxBuildpacks)
	for i := range many {
		many[i] = map[string]string{"key": fmt.Sprint("b", i)}
	}
	manyText, err := json.Marshal(map[string]any{"buildpacks": many})
	if err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		label string
		want  []string
		count int
	}{
		"one":         {`{"buildpacks":[{"key":"test/greet","version":"1.2.3-rc.1+x","layers":{"app":{"data":{"TOKEN":"secret"}}}}]}`, []string{"urn:cnb:builder:test/greet@1.2.3-rc.1+x"}, 1},
		"no version":  {`{"buildpacks":[{"key":"test/greet"}]}`, []string{"urn:cnb:builder:test/greet"}, 1},
		"other texts": {`{"buildpacks":[{"key":"a b"},{"key":""},{"key":"a","version":"x y"},{"key":"` + strings.Repeat("a", 300) + `"},{"key":"https://me:secret@example.com"},{"key":"ok","version":"1"}]}`, []string{"urn:cnb:builder:ok@1"}, 1},
		"no JSON":     {"{", nil, 0},
		"none":        {"", nil, 0},
		"many":        {string(manyText), nil, maxBuildpacks},
	} {
		image, err := mutate.Config(empty.Image, v1.Config{Labels: map[string]string{cnbLabel: test.label}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range buildpacksOf(image) {
			got = append(got, m.uri)
		}
		if len(got) != test.count || test.want != nil && !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: the buildpacks are %q, want %q", what, got, test.want)
		}
	}
}

// TestCommitDigest: a commit is in the algorithm of its repository.
func TestCommitDigest(t *testing.T) {
	for algorithm, length := range map[string]int{"sha1": 40, "sha256": 64} {
		commit := strings.Repeat("a", length)
		if got, want := commitDigest(commit), (map[string]string{algorithm: commit}); !reflect.DeepEqual(got, want) {
			t.Errorf("it is %v, want %v", got, want)
		}
	}
}
