package builtins

import (
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/paths"
)

func TestChecks(t *testing.T) {
	name := func(s string) *explain.Error { return checkName(s, 53) }
	quantity := func(s string) *explain.Error { return checkQuantity(s, "1") }
	for _, test := range []struct {
		what  string
		check func(string) *explain.Error
		good  []string
		bad   []string
	}{
		{"name", name, []string{"a", "a-b", "0", "web2", strings.Repeat("a", 53)}, []string{"", "-a", "a-", "A", "a_b", "a.b", "ä", strings.Repeat("a", 54)}},
		{"quantity", quantity, []string{"1", "0.5", ".5", "1.", "100m", "1k", "1Ki", "2Gi", "1e3", "1E-2", "8E", "3Ei"}, []string{"", "0", "0.0", "-1", "1 Gi", "1KB", "Gi", "12E", "1Gib", "1mi", "one"}},
		{"port name", checkPortName, []string{"http", "port-8080", "a1"}, []string{"", "8080", "a--b", "A", "a-very-long-name"}},
		{"host", checkHost, []string{"a", "a.example.com", "*.example.com"}, []string{"", "a..b", "a_b", "*", "http://a", "a/b", "10.0.0.1", "::1"}},
		{"cron", checkCron, []string{"* * * * *", "0 3 * * *", "*/5 1-3 1,15 jan-dec 6", "0 0 ? * SUN", "@hourly"},
			[]string{"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "* * * * 7", "*/0 * * * *", "a * * * *", "5-1 * * * *", "@noon", "1- * * * *"}},
		{"image", checkImage, []string{"redis", "redis:7", "a/b", "ghcr.io/a/b:1.2-x_y", "localhost/a", "localhost:5000/a", "[::1]:5000/a", "a__b/c--d.e", "127.0.0.1:5000/x@sha256:" + strings.Repeat("a", 64)},
			[]string{"", "A", "redis:", "a//b", "a/", "/a", "a b", "a@sha256:1", "a@b", "docker://a", "a:b:c", "-a", "ghcr.io/", strings.Repeat("a/", 200) + "a"}},
		{"environment variable", checkEnvName, []string{"A", "_a", "a.b-c"}, []string{"", "1A", "A B", "A=B", "ä"}},
		{"secret", checkSecretName, []string{"a", "A_B-c.d", "STRIPE_KEY"}, []string{"", "-a", "a b", "a/b"}},
		{"stage name", checkStageName, []string{"a", "DEFAULT JOB", "Ü ber"}, []string{"", "  ", "a\nb", strings.Repeat("a", 201)}},
		{"pattern", checkPattern, []string{"*", "a/**/b", "[a-z]?"}, []string{"[", "a**", "a/**b"}},
	} {
		for _, s := range test.good {
			if p := test.check(s); p != nil {
				t.Errorf("%s %q: %s", test.what, s, p.Msg)
			}
		}
		for _, s := range test.bad {
			if p := test.check(s); p == nil {
				t.Errorf("%s %q: no error", test.what, s)
			}
		}
	}
}

func TestRelative(t *testing.T) {
	for _, test := range []struct{ base, target, want string }{
		{".", "a/b", "a/b"}, {"a", "a/b", "b"}, {"a/b", "a/c/d", "../c/d"}, {"a/b", "x", "../../x"}, {"a", "a", "../a"},
	} {
		if got := relative(test.base, test.target); got != test.want {
			t.Errorf("relative(%s, %s) = %s, want %s", test.base, test.target, got, test.want)
		}
		if back, p := paths.Resolve(test.base, relative(test.base, test.target)); p != nil || back != test.target {
			t.Errorf("paths.Resolve(%s, relative(%s)) = %s", test.base, test.target, back)
		}
	}
}

func TestQuantityValue(t *testing.T) {
	for q, want := range map[string]float64{"1": 1, "500m": 0.5, "2k": 2000, "1Ki": 1024, "1.5Gi": 1.5 * (1 << 30), "1e3": 1000, "2E": 2e18, "1E-2": 0.01, ".5": 0.5, "5.": 5} {
		if got := quantityValue(q); got != want {
			t.Errorf("quantityValue(%q) = %v, want %v", q, got, want)
		}
	}
}
