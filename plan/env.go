package plan

// An EnvSource is where a variable has its value from, if it is neither a string nor a
// secret.
type EnvSource struct {
	Field  string     `json:"field,omitempty"`  // a field of the pod, such as "status.podIP", or of the resources of the container, such as "limits.memory"
	Config *ConfigKey `json:"config,omitempty"` // a key of a ConfigMap that exists
}

// A ConfigKey is a key of a ConfigMap.
type ConfigKey struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}
