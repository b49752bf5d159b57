package chartspec

// fileKeys are the values of files=.
func fileKeys() []Key {
	return []Key{{
		Name: "files", Argument: "files", Help: "`files=`: files of the container, each at `path`, with its content: a `text`, `binary` in base64, or a `secret` with the `name` of a Secret and a `key` in it. " +
			"Files with the same `dir` are mounted together as that directory. `mode` are the permissions, as an octal number in quotes. Text and binary content is in a ConfigMap; " +
			"the annotation `checksum/files` replaces the pods when a file changes.",
		Shape: objects(Key{Name: "path", Shape: str, Required: true}, Key{Name: "dir", Shape: str}, Key{Name: "mode", Shape: str},
			Key{Name: "text", Shape: str}, Key{Name: "binary", Shape: str}, Key{Name: "secret", Shape: Shape{Type: Object, Fields: []Key{
				{Name: "name", Shape: str, Required: true}, {Name: "key", Shape: str, Required: true},
			}}}),
	}}
}
