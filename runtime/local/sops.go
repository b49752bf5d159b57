package local

import (
	"maps"
	"strings"

	"go.yaml.in/yaml/v3"
)

// encrypted is a file that is encrypted by SOPS. The names and keys in it are readable, so that it is decrypted only
// if a secret of it is needed.
type encrypted struct {
	data   []byte
	format string // "yaml", "json" or "dotenv"
}

// isSOPS reports whether the value of the name "sops" is the metadata that SOPS adds to a file, rather than a secret.
func isSOPS(n *yaml.Node) bool {
	var metadata struct {
		MAC          string `yaml:"mac"`
		LastModified string `yaml:"lastmodified"`
	}
	return n.Kind == yaml.MappingNode && n.Decode(&metadata) == nil && metadata.MAC != "" && metadata.LastModified != ""
}

// findSOPS finds the metadata that SOPS adds to lines NAME=value.
func (s *Source) findSOPS(data []byte) {
	if s.secrets["SOPS_MAC"] == nil || s.secrets["SOPS_LASTMODIFIED"] == nil {
		return
	}
	s.encrypted = &encrypted{data, "dotenv"}
	maps.DeleteFunc(s.secrets, func(name string, _ map[string]string) bool { return strings.HasPrefix(name, "SOPS_") })
}
