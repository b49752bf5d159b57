package chartspec

// volumeKeys are the values of volumes= that are not claims of the chart.
func volumeKeys() []Key {
	return []Key{{
		Name: "claims", Argument: "volumes",
		Help: "Claims of `volumes=` that are not of the chart: those of `disk()` and `existing_volume()`. `name` is the name of the volume in the pod, `claim` that of the claim, " +
			"`access` the access mode that it has, and each of its `mounts` has a `path`.",
		Shape: objects(Key{Name: "name", Shape: str, Required: true}, Key{Name: "claim", Shape: str, Required: true}, Key{Name: "access", Shape: str},
			Key{Name: "mounts", Shape: objects(Key{Name: "path", Shape: str, Required: true}, Key{Name: "readOnly", Shape: flag}), Required: true}),
	}, {
		Name: "scratch", Argument: "volumes",
		Help: "`scratch()` of `volumes=`: an `emptyDir` each, mounted at `path`, with at most `size`, in `memory` if that is set.",
		Shape: objects(Key{Name: "name", Shape: str, Required: true}, Key{Name: "path", Shape: str, Required: true}, Key{Name: "size", Shape: str},
			Key{Name: "memory", Shape: flag}),
	}}
}
