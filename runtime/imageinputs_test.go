package runtime

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pipelinefile/pipe/plan"
)

func TestInputsSince(t *testing.T) {
	base := func(change func(*ImageInputs)) *ImageInputs {
		in := &ImageInputs{
			Dockerfile: "aaaa", Target: "prod", Platforms: []string{"linux/amd64"}, Args: map[string]string{"GO": "1111", "OLD": "2222"},
			Labels: map[string]string{"team": "3333"}, Bases: map[string]string{"BASE": "4444"}, Secrets: []string{"token"},
			Files: map[string]string{"main.go": "644 5555", "bin/start": "755 6666"}, Count: 2, Content: "7777",
		}
		change(in)
		return in
	}
	none := func(*ImageInputs) {}
	for _, test := range []struct {
		name string
		was  *ImageInputs
		is   *ImageInputs
		want []string
	}{
		{"nothing", base(none), base(none), nil},
		{"files", base(none), base(func(in *ImageInputs) {
			in.Files = map[string]string{"main.go": "644 0000", "new.go": "644 1234"}
			in.Content = "8888"
		}), []string{"file main.go changed", "file new.go added", "file bin/start removed"}},
		{"too many files", base(none), base(func(in *ImageInputs) { in.Files, in.Count, in.Content = nil, MaxInputFiles+1, "8888" }),
			[]string{"content of the build context changed"}},
		{"arguments", base(none), base(func(in *ImageInputs) { in.Args = map[string]string{"GO": "9999", "NEW": "1111"} }),
			[]string{"argument GO changed", "argument NEW added", "argument OLD removed"}},
		{"the rest", base(none), base(func(in *ImageInputs) {
			in.Dockerfile, in.Target, in.Platforms, in.Secrets = "bbbb", "", []string{"linux/arm64"}, []string{"other"}
			in.Bases = map[string]string{"BASE": "0000"}
			in.Labels = nil
		}), []string{"Dockerfile changed", "target removed: prod -> none", "platforms changed: linux/amd64 -> linux/arm64",
			"image of argument BASE changed", "label team removed", "secret other added", "secret token removed"}},
		{"a commit", &ImageInputs{Commit: "a1", Path: "web", Dockerfile: "Dockerfile"}, &ImageInputs{Commit: "b2", Path: "web", Dockerfile: "Dockerfile"},
			[]string{"commit changed: a1 -> b2"}},
		{"git instead of files", base(none), base(func(in *ImageInputs) { in.Commit, in.Files, in.Count, in.Content = "b2", nil, 0, "" }),
			[]string{"commit added: none -> b2", "file bin/start removed", "file main.go removed"}},
	} {
		var got []string
		for _, c := range test.is.Since(test.was) {
			got = append(got, c.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %s\nwant %s", test.name, fmt.Sprintf("%q", got), fmt.Sprintf("%q", test.want))
		}
	}
	if got := InputDigest(plan.DigestOf([]byte("x"))); len(got) != 4 {
		t.Errorf("InputDigest = %q, want 16 bits", got)
	}
}
