package main

import (
	"encoding/json"
	"path"
	"strings"
)

// maxMetadata is the size of a file that describes one package, in bytes; larger ones describe none.
const maxMetadata = 4 << 20

// isNPM reports whether a file is the package.json of a package that npm, or a tool like it, has installed.
func isNPM(name string) bool {
	dir, base := path.Split(name)
	if base != "package.json" {
		return false
	}
	parent := path.Dir(strings.TrimSuffix(dir, "/")) // of the directory of the package
	if strings.HasPrefix(path.Base(parent), "@") {
		parent = path.Dir(parent)
	}
	return path.Base(parent) == "node_modules"
}

func readNPM(t *tree, name string) error {
	data, err := t.content(name, maxMetadata)
	if err != nil {
		return err
	}
	var is struct {
		Name    string          `json:"name"`
		Version string          `json:"version"`
		License json.RawMessage `json:"license"`
	}
	if json.Unmarshal(data, &is) != nil {
		return nil
	}
	var license string
	if json.Unmarshal(is.License, &license) != nil {
		var old struct {
			Type string `json:"type"`
		}
		_ = json.Unmarshal(is.License, &old)
		license = old.Type
	}
	scope, plain, scoped := strings.Cut(is.Name, "/")
	if !scoped {
		scope, plain = "", is.Name
	}
	return t.addIf(component{is.Name, is.Version, known(license), purl("npm", scope, plain, is.Version, nil), name})
}
