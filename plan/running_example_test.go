package plan_test

// running prints how a container with the given arguments runs.
func running(args string) {
	p := evaluate(`container("web", image = "nginx", ports = [80], ` + args + `)`)
	show(p.Services[0].Workload.Running)
}

func ExampleRunning() {
	running(`annotations = {"prometheus.io/scrape": "true"}, termination = "1m"`)
	// Output: {"annotations":{"prometheus.io/scrape":"true"},"termination":"1m0s"}
}

func ExampleAutoscale() {
	running(`autoscale = autoscale(2, 10, cpu = 80), resources = resources(cpu = "100m")`)
	// Output: {"autoscale":{"min":2,"max":10,"cpu":"80%"}}
}

func ExampleRule() {
	running(`rbac = [rule(["pods"], ["get", "list"])]`)
	// Output: {"rbac":[{"groups":[""],"resources":["pods"],"verbs":["get","list"]}]}
}

func ExampleDisruption() {
	running(`disruption = disruption(max_unavailable = 1)`)
	// Output: {"disruption":{"max_unavailable":"1"}}
}

func ExampleStrategy() {
	running(`strategy = strategy(surge = "50%", unavailable = 0)`)
	// Output: {"strategy":{"surge":"50%","unavailable":"0"}}
}

func ExampleSpread() {
	running(`spread = ["zone"]`)
	// Output: {"spread":[{"over":"topology.kubernetes.io/zone"}]}
}

func ExampleNetwork() {
	running(`network = ["web"]`)
	// Output: {"network":{"from":["web"]}}
}

func ExampleCron() {
	p := evaluate(`job("report", image = "report", schedule = "0 3 * * *", time_zone = "Europe/Berlin", history = 5)`)
	show(p.Services[0].Workload.Job.Cron)
	// Output: {"time_zone":"Europe/Berlin","history":5}
}
