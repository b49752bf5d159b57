package chart

import (
	"encoding/base64"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// fileValues are the values of files=.
type fileValues struct {
	Files []file
}

type file struct {
	Path   string     `json:"path"`
	Dir    string     `json:"dir,omitempty"`
	Mode   string     `json:"mode,omitempty"`
	Text   string     `json:"text,omitempty"`
	Binary string     `json:"binary,omitempty"`
	Secret *secretKey `json:"secret,omitempty"`
}

// files adds the files of a service, and reports whether the group of the pod must be able
// to read one that others cannot.
func (v *values) files(w plan.Workload, keyOf KeyOf) (group bool) {
	for _, f := range w.Files {
		out := file{Path: f.Path, Dir: f.Dir}
		if f.Mode != 0 {
			text, _ := f.Mode.MarshalText() // never fails
			out.Mode = string(text)
		}
		group = group || f.Mode&0o044 == 0o040
		switch {
		case f.Secret != nil:
			name, key := keyOf(*f.Secret)
			out.Secret = &secretKey{name, key}
		case len(f.Binary) > 0 || strings.ContainsFunc(f.Text, unprintable):
			out.Binary = base64.StdEncoding.EncodeToString(append(f.Binary, f.Text...))
		default:
			out.Text = f.Text
		}
		v.Files = append(v.Files, out)
	}
	return group
}

// unprintable reports whether a character cannot be in YAML as it is, or is a line break
// there.
func unprintable(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffe || r == 0xffff
}
