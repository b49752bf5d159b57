package builtins

import (
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/internal/chartspec"
)

// TestAccepts: the functions for writers of Pipelinefiles accept what the language accepts.
func TestAccepts(t *testing.T) {
	redis, _ := chartspec.EngineNamed("redis")
	mysql, _ := chartspec.EngineNamed("mysql")
	of := func(is func(chartspec.Engine, string) bool, e chartspec.Engine) func(string) bool {
		return func(s string) bool { return is(e, s) }
	}
	for name, test := range map[string]struct {
		is      func(string) bool
		yes, no []string
	}{
		"schedule": {IsSchedule, []string{"0 3 * * *", "@daily"}, []string{"", "daily", "0 3 * *"}},
		"image":    {IsImage, []string{"nginx", "r.example.com:5000/a/b:1"}, []string{"", "Nginx", "a b", "a:", "https://a/b"}},
		"variable": {IsEnvName, []string{"A", "_a.b-c", "-A"}, []string{"", "1A", "a b", "ä"}},
		"secret":   {IsSecretName, []string{"a", "A_b.c-d"}, []string{"", "a-", ".a", "a b"}},
		"port":     {IsPortName, []string{"http", "a-1"}, []string{"", "80", "a--b", "Http", strings.Repeat("a", 16)}},
		"host":     {IsHost, []string{"a.example.com", "*.example.com"}, []string{"a_b", "A.example.com", "a..b"}},
		"mount":    {IsMountPath, []string{"/a", "/a/b.conf", "/☺"}, []string{"", "a", "/", "/a:b", "/..a", "/a\n"}},
		"volume":   {IsVolumePath, []string{"/data"}, []string{"/☺", "/a:b", "data"}},
		"file":     {IsFileName, []string{"a", "a/b"}, []string{"", "/a", "..a", "a/../b", "."}},
		"cpu":      {IsCPU, []string{"1", "500m"}, []string{"", "0", "-1", "x"}},
		"memory":   {IsMemory, []string{"1Gi", "500Ki"}, []string{"", "500m", "512", "0", "1GB"}},
		"pods":     {IsPods, []string{"0", "3", "25%"}, []string{"", "-1", "101%", "1.5", "%"}},
		"database": {of(IsDatabaseName, mysql), []string{"shop", "a_b-c"}, []string{"", "1", "a b"}},
		"number":   {of(IsDatabaseName, redis), []string{"0"}, []string{"", "shop"}},
		"user":     {of(IsDatabaseUser, mysql), []string{"app"}, []string{"", "root", "a b"}},
		"no user":  {of(IsDatabaseUser, redis), nil, []string{"default", "app"}},
	} {
		for _, s := range test.yes {
			if !test.is(s) {
				t.Errorf("%s: %q is not accepted", name, s)
			}
		}
		for _, s := range test.no {
			if test.is(s) {
				t.Errorf("%s: %q is accepted", name, s)
			}
		}
	}
}
