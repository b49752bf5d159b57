package deploy_test

import (
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// TestDatabaseNames: the credentials of a database have its name, its user and the forms of
// its URL that services use; another name or user later is an error, as the server does not
// change it (D6).
func TestDatabaseNames(t *testing.T) {
	t.Parallel()
	b := newBench(t, deploy.Options{Config: testenv.Cluster(t)})
	db := func(name, user string) plan.Service {
		s := database("db")
		s.Workload.Database.DatabaseAccess = plan.DatabaseAccess{Name: name, User: user, URLs: []string{"jdbc"}}
		s.Workload.Scratch = []plan.Scratch{{Path: "/dev/shm", Size: "64Mi", Memory: true}}
		return s
	}
	api := using(container("api"), "URL", plan.SecretRef{Service: "db", Key: plan.URLKey("jdbc")})
	b.prepare(db("shop", "owner"), api)
	b.deploy(db("shop", "owner"))
	b.deploy(api)
	data := b.secret("db-credentials").Data
	if got := string(data["database"]) + " " + string(data["user"]); got != "shop owner" {
		t.Errorf("the credentials are those of %s", got)
	}
	if got := string(data["url-jdbc"]); !strings.HasPrefix(got, "jdbc:postgresql://db:5432/shop?user=owner&password=") {
		t.Errorf("the URL for JDBC is %q", strings.ReplaceAll(got, string(data["password"]), "PASSWORD"))
	}
	contains(t, b.template("api"), `"name":"db-credentials","key":"url-jdbc"`)
	for _, wrong := range []struct{ name, user, want string }{
		{"other", "owner", `created with the database "shop", and its server does not change that to "other": write database = "shop"`},
		{"", "owner", `created with the database "shop", and its server does not change that to "app"`},
		{"shop", "me", `created with the user "owner", and its server does not change that to "me": write user = "owner"`},
	} {
		err := b.Prepare(t.Context(), keyOf(b.namespace), planOf(db(wrong.name, wrong.user)))
		if err == nil || !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("Prepare with %q and %q = %v, want %q", wrong.name, wrong.user, err, wrong.want)
		}
	}
	b.prepare(db("shop", ""), api) // the user is kept
	if got := string(b.secret("db-credentials").Data["user"]); got != "owner" {
		t.Errorf("the user is %q", got)
	}
}
