package main

import (
	"errors"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// A plainFile reads files of the workspace that are not encrypted.
type plainFile struct{ workspace string }

// GetString returns the content of a file. No symbolic link leads out of the workspace.
func (p plainFile) GetString(path string) (string, error) {
	rel, err := filepath.Rel(p.workspace, path)
	if p.workspace == "" || err != nil || !filepath.IsLocal(rel) {
		return "", errors.New("the file is outside of the workspace")
	}
	root, err := os.OpenRoot(p.workspace)
	if err != nil {
		return "", err
	}
	defer func() { _ = root.Close() }() // it was only read
	data, err := root.ReadFile(rel)
	return string(data), err
}

// GetStringMap returns the map in a YAML or JSON file.
func (p plainFile) GetStringMap(path string) (map[string]any, error) {
	text, err := p.GetString(path)
	if err != nil {
		return nil, err
	}
	var values map[string]any
	return values, yaml.Unmarshal([]byte(text), &values)
}
