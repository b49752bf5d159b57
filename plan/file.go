package plan

import (
	"fmt"
	"iter"
	"strconv"
)

// A File is a file in the container of a service (D10). Its content is Text, Binary or the
// value of Secret.
type File struct {
	Path   string     `json:"path"`             // absolute
	Dir    string     `json:"dir,omitempty"`    // the directory that is mounted with all its files; empty: the file is mounted by itself
	Text   string     `json:"text,omitempty"`   // content that is text in UTF-8
	Binary []byte     `json:"binary,omitempty"` // other content
	Secret *SecretRef `json:"secret,omitempty"` // the secret whose value is the content
	Mode   FileMode   `json:"mode,omitempty"`   // its permissions; 0: DefaultFileMode
}

// DefaultFileMode are the permissions of a file that sets none.
const DefaultFileMode FileMode = 0o644

// A FileMode has the permission bits of a file. It marshals as an octal number, such as
// "0440".
type FileMode uint32

// MarshalText writes m as an octal number.
func (m FileMode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(m)), nil }

// UnmarshalText reads an octal number.
func (m *FileMode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 9)
	*m = FileMode(n)
	return err
}

// fileSecrets yields the secrets whose values are files.
func (w *Workload) fileSecrets() iter.Seq2[string, SecretRef] {
	return func(yield func(string, SecretRef) bool) {
		for _, f := range w.Files {
			if f.Secret != nil && !yield("files "+f.Path, *f.Secret) {
				return
			}
		}
	}
}
