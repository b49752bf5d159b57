package plan_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// evaluate returns the plan of a Pipelinefile, below its call of pipeline(), in a
// workspace that has the folder api with a Dockerfile.
func evaluate(text string) *plan.Plan {
	dir, err := os.MkdirTemp("", "plan")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	for name, data := range map[string]string{"Pipelinefile": "pipeline(\"shop\")\n" + strings.TrimSpace(text) + "\n", "api/Dockerfile": "FROM scratch\n"} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(data), 0o644)); err != nil {
			panic(err)
		}
	}
	p, err := interp.Eval(context.Background(), filepath.Join(dir, "Pipelinefile"), interp.Options{
		Root: dir, Environment: plan.EnvironmentRef{Name: "staging"},
	})
	if err != nil {
		panic(err)
	}
	return p
}

// show prints v as a plan has it in JSON.
func show(v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(data))
}

func ExamplePlan() {
	p := evaluate(`
database("db", engine = "postgresql", version = "17")
application("api", source = local("api"))
`)
	for _, st := range p.Stages {
		for _, s := range p.Services {
			if s.Stage == st.Name {
				fmt.Printf("%s: %s\n", st.Name, s.Name)
			}
		}
	}
	// Output:
	// DEFAULT DATABASE: db
	// DEFAULT APPLICATION: api
}

func ExamplePlan_JSON() {
	p := &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: "shop"}, Environment: plan.EnvironmentRef{Name: "staging", Kind: "environment"},
		Stages: []plan.Stage{}, Services: []plan.Service{}, Builds: []plan.BuildSpec{}, Inputs: []plan.Input{},
	}
	data, err := p.JSON()
	if err != nil {
		fmt.Println(err)
	}
	os.Stdout.Write(data)
	// Output:
	// {
	//   "version": 1,
	//   "pipeline": {
	//     "name": "shop",
	//     "build_parallelism": 0,
	//     "deploy_parallelism": 0,
	//     "pos": {}
	//   },
	//   "environment": {
	//     "name": "staging",
	//     "kind": "environment"
	//   },
	//   "stages": [],
	//   "services": [],
	//   "builds": [],
	//   "inputs": []
	// }
}

func ExamplePlan_Service() {
	p := &plan.Plan{Services: []plan.Service{{Name: "api", Type: plan.Application}}}
	fmt.Println(p.Service("api").Type, p.Service("web") == nil)
	// Output: APPLICATION true
}

func ExamplePlan_Build() {
	p := &plan.Plan{Builds: []plan.BuildSpec{{ID: "b1", Dockerfile: "Dockerfile"}}}
	fmt.Println(p.Build("b1").Dockerfile, p.Build("b2") == nil)
	// Output: Dockerfile true
}

func ExamplePlan_Digest() {
	a, _ := (&plan.Plan{Pipeline: plan.Pipeline{Name: "shop"}}).Digest()
	b, _ := (&plan.Plan{Pipeline: plan.Pipeline{Name: "shop"}}).Digest()
	c, _ := (&plan.Plan{Pipeline: plan.Pipeline{Name: "bank"}}).Digest()
	fmt.Println(a == b, a == c)
	// Output: true false
}

func ExamplePipeline() {
	show(evaluate("").Pipeline)
	// Output: {"name":"shop","build_parallelism":7,"deploy_parallelism":7,"pos":{"file":"Pipelinefile","line":1,"col":1}}
}

func ExampleEnvironmentRef() {
	show(evaluate("").Environment)
	show(plan.EnvironmentRef{Name: "pr-7", Kind: "preview", Source: "staging", Branch: "faster"})
	// Output:
	// {"name":"staging","kind":"environment"}
	// {"name":"pr-7","kind":"preview","source":"staging","branch":"faster"}
}

func ExampleParam() {
	p := evaluate(`
level = param("level", default = "info", choices = ["info", "debug"])
`)
	show(p.Params)
	// Output: [{"name":"level","type":"string","value":"info","default":true,"choices":["info","debug"],"pos":{"file":"Pipelinefile","line":2,"col":9}}]
}

func ExampleStage() {
	p := evaluate(`
stage("checks", order = 5, description = "what must hold before")
`)
	for _, st := range p.Stages {
		show(st)
	}
	// Output: {"name":"checks","order":5,"description":"what must hold before","pos":{"file":"Pipelinefile","line":2,"col":1}}
}

func ExampleService() {
	s := evaluate(`
container("cache", image = "redis:7", skip = True)
`).Service("cache")
	fmt.Println(s.Type, s.Stage, s.Pos)
	fmt.Println(s.Skip, s.SkipWhy.Text)
	fmt.Println(s.Image.Mirror, time.Duration(s.Timeout))
	// Output:
	// CONTAINER DEFAULT CONTAINER Pipelinefile:2:1
	// true skip = True
	// redis:7 5m0s
}

func ExampleServiceType() {
	for _, s := range evaluate(`
application("api", source = local("api"))
container("cache", image = "redis:7")
job("migrate", image = "ghcr.io/owner/migrate:1")
database("db", engine = "postgresql", version = "17")
`).Services {
		fmt.Println(s.Name, s.Type)
	}
	// Output:
	// db DATABASE
	// migrate JOB
	// cache CONTAINER
	// api APPLICATION
}

// Why a service is in its stage: the file says so, a rule does, or none.
func ExamplePlacement() {
	for _, s := range evaluate(`
first = stage("first", order = 1)
container("a", image = "redis:7", stage = first)
container("b", image = "redis:7")
default_stages()
`).Services {
		fmt.Println(s.Name, s.Stage, s.Placed.By, s.Placed.Pos)
	}
	// Output:
	// a first stage Pipelinefile:3:43
	// b DEFAULT CONTAINER rule Pipelinefile:5:1
}

func ExamplePlacedBy() {
	s := evaluate(`
stage("only", order = 1)
container("a", image = "redis:7")
`).Service("a")
	fmt.Println(s.Stage, s.Placed.By == plan.ByLatest)
	// Output: only true
}

func ExampleReason() {
	show(evaluate(`
container("cache", image = "redis:7", skip = True)
`).Service("cache").SkipWhy)
	// Output: {"text":"skip = True","pos":{"file":"Pipelinefile","line":2,"col":46}}
}

// An image is built, copied into the pipeline's registry, or left where it is.
func ExampleImageSource() {
	for _, s := range evaluate(`
application("api", source = local("api"))
container("cache", image = "redis:7")
container("proxy", image = "envoyproxy/envoy:v1.32", mirror = False)
default_stage(APPLICATION, stage("all", order = 1))
default_stage(CONTAINER, "all")
`).Services {
		fmt.Print(s.Name, " ")
		show(s.Image)
	}
	// Output:
	// api {"build":"api"}
	// cache {"mirror":"redis:7"}
	// proxy {"ref":"envoyproxy/envoy:v1.32"}
}

func ExampleBuildSpec() {
	b := evaluate(`
application("api", source = local("api"), build = dockerfile(args = {"VERSION": "1"}, target = "prod"))
`).Build("api")
	fmt.Println(b.Source.Path, b.Context, b.Dockerfile, b.Target, b.Args)
	// Output: api . Dockerfile prod map[VERSION:1]
}

func ExampleSource() {
	for _, b := range evaluate(`
application("api", source = local("api"))
application("web", source = git("https://git.example.com/shop/web", ref = "v2"))
`).Builds {
		show(b.Source)
	}
	// Output:
	// {"path":"api"}
	// {"git":"https://git.example.com/shop/web","ref":"v2"}
}

func ExampleChart() {
	show(evaluate(`
container("queue", image = "nats:2", chart = chart("nats", repo = "https://charts.example.com", version = "1.2.3"))
`).Service("queue").Chart)
	// Output: {"ref":"nats","version":"1.2.3","repo":"https://charts.example.com","pos":{"file":"Pipelinefile","line":2,"col":46}}
}

func ExampleWorkload() {
	show(evaluate(`
container("web", image = "nginx:1.27", ports = [port(80)], replicas = 2, labels = {"team": "shop"})
`).Service("web").Workload)
	// Output: {"ports":[{"number":80,"name":"port-80","protocol":"TCP"}],"replicas":2,"labels":{"team":"shop"}}
}

func ExampleWorkload_Kind() {
	fmt.Println(evaluate(`
job("report", image = "report:1", schedule = "0 3 * * *")
`).Service("report").Workload.Kind())
	// Output: CronJob
}

func ExamplePort() {
	show(evaluate(`
container("web", image = "nginx:1.27", ports = [port(80, public = True, host = "shop.example.com")])
`).Service("web").Workload.Ports)
	// Output: [{"number":80,"name":"port-80","protocol":"TCP","public":true,"host":"shop.example.com"}]
}

func ExampleEnvVar() {
	show(evaluate(`
container("web", image = "nginx:1.27", env = {"LEVEL": "info", "TOKEN": secret("token")})
`).Service("web").Workload.Env)
	// Output: [{"name":"LEVEL","value":"info"},{"name":"TOKEN","secret":{"name":"token"}}]
}

// A secret that somebody has made, and one that is generated with a database.
func ExampleSecretRef() {
	for _, e := range evaluate(`
db = database("db", engine = "postgresql", version = "17")
container("web", image = "nginx:1.27", env = {"A": secret("stripe", key = "live"), "B": db.url})
`).Service("web").Workload.Env {
		show(e.Secret)
	}
	// Output:
	// {"name":"stripe","key":"live"}
	// {"service":"db","key":"url"}
}

func ExampleHealth() {
	show(evaluate(`
container("web", image = "nginx:1.27", ports = [port(80)], health = http("/ready"))
`).Service("web").Workload.Health)
	// Output: {"kind":"http","path":"/ready","port":80}
}

func ExampleHealthKind() {
	h := evaluate(`
container("queue", image = "nats:2", health = command("nats", "ping"))
`).Service("queue").Workload.Health
	fmt.Println(h.Kind == plan.HealthCommand, h.Command)
	// Output: true [nats ping]
}

func ExampleResources() {
	show(evaluate(`
container("web", image = "nginx:1.27", resources = resources(cpu = "250m", memory = "64Mi", memory_limit = "128Mi"))
`).Service("web").Workload.Resources)
	// Output: {"cpu":"250m","memory":"64Mi","memory_limit":"128Mi"}
}

func ExampleVolume() {
	show(evaluate(`
container("files", image = "nginx:1.27", volumes = [volume("/data", size = "5Gi")])
`).Service("files").Workload.Volumes)
	// Output: [{"name":"data","path":"/data","size":"5Gi"}]
}

func ExampleJobSpec() {
	show(evaluate(`
job("report", image = "ghcr.io/owner/report:1", schedule = "0 3 * * *", retries = 2)
`).Service("report").Workload.Job)
	// Output: {"schedule":"0 3 * * *","on":"deploy","retries":2}
}

func ExampleDatabaseSpec() {
	show(evaluate(`
database("db", engine = "postgresql", version = "17", storage = "20Gi")
`).Service("db").Workload.Database)
	// Output: {"engine":"postgresql","version":"17","storage":"20Gi"}
}

// What evaluation has read, so that its changes can be watched.
func ExampleInput() {
	for _, in := range evaluate(`
application("api", source = local("api"), labels = {"files": str(len(glob("api/*")))})
`).Inputs {
		fmt.Println(in.Kind, in.Path)
	}
	// Output:
	// module Pipelinefile
	// context api
	// glob api/*
	// dockerfile api/Dockerfile
}

func ExampleInputKind() {
	for _, in := range evaluate("").Inputs {
		fmt.Println(in.Kind == plan.InputModule, in.Digest[:7])
	}
	// Output: true sha256:
}

func ExampleDuration() {
	var d plan.Duration
	err := d.UnmarshalText([]byte("90s"))
	text, _ := d.MarshalText()
	fmt.Println(string(text), err)
	// Output: 1m30s <nil>
}

func ExampleDigest_Valid() {
	fmt.Println(plan.DigestOf(nil).Valid(), plan.Digest("sha256:abc").Valid())
	// Output: true false
}

func ExampleIsTag() {
	fmt.Println(plan.IsTag("1.27-alpine"), plan.IsTag("-1"), plan.IsTag("a b"))
	// Output: true false false
}

func ExampleDigestOf() {
	fmt.Println(plan.DigestOf([]byte("FROM scratch"))[:14])
	// Output: sha256:67c4282
}

// A template shows an integer and a float differently, so a plan that is read
// again has them as they were.
func ExampleValues() {
	values := evaluate(`
container("api", image = "redis:7", chart = chart("oci://ghcr.io/owner/api", version = "1.0.0"), values = {"build": 20190612073634, "ratio": 1.0})
`).Service("api").Values
	data, err := values.MarshalJSON()
	if err != nil {
		panic(err)
	}
	var again plan.Values
	err = again.UnmarshalJSON(data)
	fmt.Printf("%s\n%T %T %v\n", data, again["build"], again["ratio"], err)
	// Output:
	// {"build":20190612073634,"ratio":1.0}
	// int64 float64 <nil>
}

func ExampleSync() {
	show(plan.Sync{Path: "web/src", To: "/app/src", Run: []string{"npm", "install"}, On: []string{"package.json"}})
	// Output: {"path":"web/src","to":"/app/src","run":["npm","install"],"on":["package.json"],"pos":{}}
}

func ExampleCredentialsName() {
	fmt.Println(plan.CredentialsName("orders"))
	// Output: orders-credentials
}

func ExampleEnvironmentKind() {
	ref := plan.EnvironmentRef{Name: "pr-7", Kind: plan.KindPreview, Source: "staging"}
	fmt.Printf("%s is a %s of %s\n", ref.Name, ref.Kind, ref.Source)
	// Output: pr-7 is a preview of staging
}

func ExampleMoment() {
	s := evaluate(`
job("backup", image = "postgres:17", on = "stop")
`).Service("backup")
	fmt.Println(s.Workload.Job.On == plan.OnStop)
	// Output: true
}

func ExamplePlacement_Why() {
	s := evaluate(`
container("a", image = "redis:7")
`).Service("a")
	fmt.Println(s.Placed.Why(s.Type))
	// Output: by the default rule for CONTAINER, as no stage is declared
}
