package plan_test

import (
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

func ExampleDatabaseAccess() {
	p := evaluate(`
db = database("db", engine = "postgresql", version = "17", database = "shop", options = {"sslmode": "prefer"})
application("api", source = local("api"), env = {"URL": db.url_for("jdbc")})`)
	show(p.Service("db").Workload.Database.DatabaseAccess)
	// Output: {"name":"shop","query":"sslmode=prefer","urls":["jdbc"]}
}

func ExampleURLKey() {
	fmt.Println(plan.URLKey("postgresql+asyncpg"))
	// Output: url-postgresql.asyncpg
}
