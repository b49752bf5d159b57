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

// Every user of the machine can connect to loopback. So whoever writes must show
// a password that stands in a file which only the owner of the registry can read.
// It is another one for each process: should the registry die and somebody else
// listen at its address, what that one is sent is of no use. Reads are open, as the
// nodes of a cluster pull without credentials; they name images by digest.

// Writer is the user name that a write is made with.
const Writer = "pipe"

// Password returns the password for writes to the registry that runs in dir.
func Password(dir string) (string, error) {
	data, err := os.ReadFile(passwordFile(dir))
	return strings.TrimSpace(string(data)), err
}

func passwordFile(dir string) string { return filepath.Join(dir, "password") }

// A writer lets only those write who show the password.
type writer struct {
	dir, password string
	next          http.Handler
}

// newWriter chooses the password and writes it down.
func newWriter(dir string, next http.Handler) (*writer, error) {
	var random [32]byte
	rand.Read(random[:])
	w := &writer{dir: dir, password: hex.EncodeToString(random[:]), next: next}
	return w, w.note()
}

// note writes the password down, in a file with mode 0600.
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
		// The file is damaged, and its owner has nothing else to show.
		if err := w.note(); err != nil {
			message += "; its password cannot be written down: " + err.Error()
		}
	}
	rw.Header().Set("WWW-Authenticate", `Basic realm="pipe"`)
	refuse(rw, http.StatusUnauthorized, "UNAUTHORIZED", message)
}
