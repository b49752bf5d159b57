package serve

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/pipelinefile/pipe/internal/atomicfile"
)

// Every user of the machine can connect to loopback. So writes require a password from a file
// that only the owner of the registry can read. Each process has a new password: if the
// registry dies and another program listens at its address, the password that it receives is
// useless. Reads need no credentials, because the nodes of a cluster pull without any; they
// name images by digest.

// Writer is the user name for writes.
const Writer = "pipe"

// Password returns the password for writes to the registry that runs in dir.
func Password(dir string) (string, error) {
	data, err := os.ReadFile(passwordFile(dir))
	return strings.TrimSpace(string(data)), err
}

func passwordFile(dir string) string { return filepath.Join(dir, "password") }

// A writer rejects writes without the password.
type writer struct {
	dir, password string
	next          http.Handler
}

// newWriter generates the password and writes it to its file.
func newWriter(dir string, next http.Handler) (*writer, error) {
	var random [32]byte
	rand.Read(random[:])
	w := &writer{dir: dir, password: hex.EncodeToString(random[:]), next: next}
	return w, w.note()
}

// note writes the password to its file, with mode 0600.
func (w *writer) note() error {
	return atomicfile.Write(passwordFile(w.dir), []byte(w.password+"\n"), 0o600)
}

// ServeHTTP implements [http.Handler].
func (w *writer) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	switch {
	case r.Method == http.MethodGet, r.Method == http.MethodHead,
		user == Writer && subtle.ConstantTimeCompare([]byte(password), []byte(w.password)) == 1:
		w.next.ServeHTTP(rw, r)
		return
	}
	message := "this is the registry of one user, who alone can write to it"
	if is, err := Password(w.dir); err == nil && is != w.password || errors.Is(err, os.ErrNotExist) {
		// The file is damaged, and the owner cannot get the password from anywhere else.
		if err := w.note(); err != nil {
			message += "; its password cannot be written down: " + err.Error()
		}
	}
	rw.Header().Set("WWW-Authenticate", `Basic realm="pipe"`)
	refuse(rw, http.StatusUnauthorized, "UNAUTHORIZED", message)
}
