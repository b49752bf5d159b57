package plan_test

func ExampleProbe() {
	p := evaluate(`container("web", image = "nginx", ports = [80], health = http("/", period = "10s", failures = 5))`)
	show(p.Services[0].Workload.Health.Probe)
	// Output: {"period":"10s","failures":5}
}

func ExampleProbes() {
	p := evaluate(`container("web", image = "nginx", ports = [80], liveness = tcp(), startup = grpc())`)
	show(p.Services[0].Workload.Probes)
	// Output: {"liveness":{"kind":"tcp","port":80},"startup":{"kind":"grpc","port":80}}
}
