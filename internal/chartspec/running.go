package chartspec

// runningKeys are the keys about how pods run that only arguments set.
func runningKeys() []Key {
	services := []Workload{Service}
	amount := Shape{} // a number, or a percentage
	return []Key{
		{Name: "autoscale", Argument: "autoscale", Help: "`autoscale=`: a HorizontalPodAutoscaler with `min` and `max` pods. `cpu` and `memory` are a percentage of the requests, such as `80%`, or a quantity.",
			Shape: Shape{Type: Object, Fields: []Key{
				{Name: "min", Shape: number(1, 0), Required: true}, {Name: "max", Shape: number(1, 0), Required: true}, {Name: "cpu", Shape: str}, {Name: "memory", Shape: str},
			}}, only: services},
		{Name: "daemon", Argument: "daemon", Help: "`daemon=`: the chart has a DaemonSet.", Shape: flag, only: services},
		{Name: "rbac", Argument: "rbac", Help: "`rbac=`: a Role, and with `cluster` a ClusterRole, of the ServiceAccount.", Shape: objects(
			Key{Name: "groups", Shape: words(), Required: true}, Key{Name: "resources", Shape: words(), Required: true}, Key{Name: "verbs", Shape: words(), Required: true},
			Key{Name: "names", Shape: words()}, Key{Name: "cluster", Shape: flag})},
		{Name: "disruption", Argument: "disruption", Help: "`disruption=`: a PodDisruptionBudget.", Shape: Shape{Type: Object, Fields: []Key{
			{Name: "minAvailable", Shape: amount}, {Name: "maxUnavailable", Shape: amount},
		}}, only: services},
		{Name: "strategy", Argument: "strategy", Help: "`strategy=`: `strategy` of the Deployment, or `updateStrategy` of the DaemonSet.", Shape: Shape{Type: Object, Fields: []Key{
			{Name: "recreate", Shape: flag}, {Name: "maxSurge", Shape: amount}, {Name: "maxUnavailable", Shape: amount},
		}}, only: services},
		{Name: "spread", Argument: "spread", Help: "`spread=`: `topologySpreadConstraints` of the pods.", Shape: objects(
			Key{Name: "over", Shape: str, Required: true}, Key{Name: "required", Shape: flag}), only: services},
		{Name: "network", Argument: "network", Help: "`network=`: a NetworkPolicy that lets pods of these releases connect, and everyone to ports that are open to the outside.", Shape: Shape{Type: Object, Fields: []Key{
			{Name: "from", Shape: words(), Required: true},
		}}, only: services},
		{Name: "preStop", Argument: "pre_stop", Help: "`pre_stop=`: `lifecycle.preStop` of the container, written as `health`.", Shape: check()},
	}
}
