package plan_test

const sources = `container("web", image = "nginx:1.27", env = {
    "IP": field("status.podIP"),
    "MODE": config_map("settings", key = "mode"),
})`

func ExampleEnvSource() {
	show(evaluate(sources).Services[0].Workload.Env[0].EnvSource)
	// Output: {"field":"status.podIP"}
}

func ExampleConfigKey() {
	show(evaluate(sources).Services[0].Workload.Env[1].Config)
	// Output: {"name":"settings","key":"mode"}
}
