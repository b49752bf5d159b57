package stdlib_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/chart"
)

// TestDatabasesDeployed checks the values of the generated chart of each database: the
// probe, the volume at the data directory of the engine, and the variables from the
// Secret with its credentials, and checks the URL in that Secret.
func TestDatabasesDeployed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "Pipelinefile")
	var text strings.Builder
	text.WriteString("pipeline(\"x\")\n")
	want := map[string]string{
		"postgresql": "ready: command pg_isready -q -h 127.0.0.1; 20Gi at /var/lib/postgresql/data; POSTGRES_DB POSTGRES_PASSWORD POSTGRES_USER; postgresql://app:S@postgresql:5432/app?sslmode=disable",
		"mysql":      "ready: tcp 3306; 20Gi at /var/lib/mysql; MYSQL_DATABASE MYSQL_PASSWORD MYSQL_ROOT_PASSWORD MYSQL_USER; mysql://app:S@mysql:3306/app",
		"redis":      "ready: tcp 6379; 20Gi at /data; REDIS_PASSWORD; redis://default:S@redis:6379/0",
		"mongodb":    "ready: tcp 27017; 20Gi at /data/db; MONGO_INITDB_DATABASE MONGO_INITDB_ROOT_PASSWORD MONGO_INITDB_ROOT_USERNAME; mongodb://app:S@mongodb:27017/app?authSource=admin",
	}
	for engine := range want {
		fmt.Fprintf(&text, "load(\"@std//databases.star\", %q)\n%s(%q, storage = \"20Gi\")\n", engine, engine, engine)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := interp.Eval(t.Context(), file, interp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range p.Services {
		got[s.Name] = deployed(t, s)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("databases: -want +got\n%s", diff)
	}
}

// deployed summarizes the values of the generated chart of a database.
func deployed(t *testing.T, s plan.Service) string {
	t.Helper()
	dir := t.TempDir()
	if err := chart.Write(dir, s); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values struct {
		Health struct {
			Kind    string
			Port    int
			Command []string
		}
		Volumes []struct{ Path, Size string }
		Env     []struct {
			Name   string
			Secret *struct{ Name string }
		}
	}
	if err := yaml.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	ready := strings.Join(append([]string{values.Health.Kind}, values.Health.Command...), " ")
	if values.Health.Port != 0 {
		ready += fmt.Sprintf(" %d", values.Health.Port)
	}
	var volumes, secrets []string
	for _, v := range values.Volumes {
		volumes = append(volumes, v.Size+" at "+v.Path)
	}
	for _, e := range values.Env {
		if e.Secret != nil && e.Secret.Name == plan.CredentialsName(s.Name) {
			secrets = append(secrets, e.Name)
		}
	}
	slices.Sort(secrets)
	url := chart.Credentials(s, chart.User(s), "S")["url"]
	return "ready: " + ready + "; " + strings.Join(volumes, ", ") + "; " + strings.Join(secrets, " ") + "; " + url
}
