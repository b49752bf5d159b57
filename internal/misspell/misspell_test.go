package misspell_test

import (
	"testing"

	"github.com/pipelinefile/pipe/internal/misspell"
)

func TestNearest(t *testing.T) {
	names := []string{"APPLICATION", "application", "container", "database", "default_stages", "port", "postgresql"}
	for name, want := range map[string]string{
		"aplication": "application", "Application": "application", "APLICATION": "APPLICATION", "contaner": "container", "conatiner": "container",
		"defaultstages": "default_stages", "default-stages": "default_stages", "prot": "port", "xyz": "", "": "", "p": "", "port": "",
		"postgresq": "postgresql", "dtabaes": "database",
	} {
		if got := misspell.Nearest(name, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
