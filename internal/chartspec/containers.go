package chartspec

import "slices"

// withContainers returns the keys with those for the containers that a pod has besides
// the first.
func withContainers(keys []Key) []Key {
	like := func(name, help string) Key {
		k := keys[slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })]
		return Key{Name: name, Help: help, Shape: k.Shape}
	}
	fields := []Key{
		{Name: "name", Shape: str, Required: true}, like("command", ""), like("args", ""), like("env", ""), like("resources", ""),
		{Name: "mounts", Help: "Paths of what is mounted into the first container; the container gets the same.", Shape: words()},
	}
	return slices.Concat(keys, []Key{
		{Name: "patches", Help: "`patch=`: changes of the objects, by `kind` and `name`. Each of the `ops` has a `path`, whose elements are keys of maps, or a `key` and a `value`, or an `index`, of an element of a list, " +
			"and a `value`, or `delete`.", Shape: objects(Key{Name: "kind", Shape: str, Required: true}, Key{Name: "name", Shape: str}, Key{Name: "ops", Shape: list, Required: true}), Argument: "patch"},
		{Name: "images", Help: "The images of the containers of `init` and `sidecars`, by name. pipe sets them.", Shape: dict(), Argument: "sidecars"},
		{Name: "init", Help: "`init=`: the `initContainers` of the pods, in this order.", Shape: objects(fields...), Argument: "init"},
		{Name: "sidecars", Help: "`sidecars=`: more containers of the pods. From Kubernetes 1.29 on they are `initContainers` with the `restartPolicy` `Always`, and before that " +
			"`containers`; a Job needs 1.29.", Shape: objects(append(slices.Clone(fields), like("health", ""))...), Argument: "sidecars"},
	})
}
