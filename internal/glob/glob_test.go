package glob

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		match, within bool // within: something below name can match
	}{
		{"*", "a", true, false}, {"*", ".a", false, false}, {".*", ".a", true, false}, {"*", "a/b", false, false},
		{"a/*", "a", false, true}, {"a/*", "b", false, false}, {"**", "a/b/c", true, true}, {"**/x", "x", true, true},
		{"**/x", "a/b/x", true, true}, {"**/x", "a/.b/x", false, false}, {"a/**/b/*.go", "a/b/x.go", true, true}, {"a/**/b/*.go", "a/c/d/b/x.go", true, true},
		{"a/**/b/*.go", "a/c/x.go", false, true}, {"**/**/x", "x", true, true}, {"a/**", "a", true, true}, {"?.[ab]", "x.b", true, false},
	} {
		p, n := strings.Split(test.pattern, "/"), strings.Split(test.name, "/")
		if got := Match(p, n); got != test.match {
			t.Errorf("Match(%s, %s) = %v", test.pattern, test.name, got)
		}
		if got := Within(p, n); got != test.within {
			t.Errorf("Within(%s, %s) = %v", test.pattern, test.name, got)
		}
	}
	// A pattern with many ** is not slow.
	p := strings.Split(strings.Repeat("**/a/", 50)+"b", "/")
	if Match(p, strings.Split(strings.Repeat("a/", 200)+"c", "/")) {
		t.Error("match of many **")
	}
}

func TestStart(t *testing.T) {
	for pattern, want := range map[string]string{"*.yaml": ".", "a/b.yaml": "a", "a/b/*/c": "a/b", "**/x": ".", `a/\[b/c`: "a"} {
		if got := Start(strings.Split(pattern, "/")); got != want {
			t.Errorf("Start(%s) = %s, want %s", pattern, got, want)
		}
	}
}
