package chart_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/chart"
	"github.com/pipelinefile/pipe/runtime/render"
)

var api = plan.Service{
	Name: "api", Type: plan.Application,
	Workload: plan.Workload{Replicas: 2, Ports: []plan.Port{{Number: 8080, Name: "http", Protocol: "TCP"}}},
}

// The chart of a service that brings none is made, and told its image.
func ExampleShelf_Chart() {
	shelf := chart.NewShelf(".", os.TempDir())
	c, err := shelf.Chart(context.Background(), api, chart.SecretKey)
	if err != nil {
		fmt.Println(err)
		return
	}
	use := chart.Use{Pipeline: "shop", Environment: "staging", Service: "api", Image: "registry.example.com/shop/api@sha256:abc"}
	renderer := render.New(render.Options{}) // of charts that others wrote
	fmt.Println(c.Check(context.Background(), renderer, "shop-staging", use))
	use.Values = map[string]any{"replicsa": 3}
	fmt.Println(c.Check(context.Background(), renderer, "shop-staging", use) != nil)
	// Output:
	// <nil>
	// true
}

// A made chart can be written out, for a team to own.
func ExampleWrite() {
	parent, err := os.MkdirTemp("", "chart")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "api")
	if err := chart.Write(dir, api); err != nil {
		fmt.Println(err)
		return
	}
	files, err := os.ReadDir(dir)
	for _, f := range files {
		fmt.Println(f.Name())
	}
	fmt.Println(err)
	// Output:
	// Chart.yaml
	// templates
	// values.schema.json
	// values.yaml
	// <nil>
}

// Names of secrets are made names of Kubernetes objects; those of databases are made up.
func ExampleSecretKey() {
	fmt.Println(chart.SecretKey(plan.SecretRef{Name: "STRIPE_API"}))
	fmt.Println(chart.SecretKey(plan.SecretRef{Name: "smtp", Key: "password"}))
	fmt.Println(chart.SecretKey(plan.SecretRef{Service: "db", Key: "url"}))
	// Output:
	// stripe-api value
	// smtp password
	// db-credentials url
}

func ExampleCredentials() {
	db := plan.Service{Name: "db", Type: plan.Database, Workload: plan.Workload{
		Database: &plan.DatabaseSpec{Engine: "postgresql", Version: "17"},
	}}
	fmt.Println(plan.CredentialsName(db.Name), chart.User(db))
	fmt.Println(chart.Credentials(db, chart.User(db), "secret")["url"])
	// Output:
	// db-credentials app
	// postgresql://app:secret@db:5432/app?sslmode=disable
}
