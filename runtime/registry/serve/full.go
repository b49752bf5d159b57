package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// refuse answers with an error in the format that clients of registries display.
func refuse(w http.ResponseWriter, status int, code, message string) {
	type line struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// If this fails, the client is gone.
	_ = json.NewEncoder(w).Encode(map[string][]line{"errors": {{code, message}}})
}

// diskFull replaces the opaque errors that next returns when the disk is full with a clear
// one, and removes the upload that did not fit.
func diskFull(root string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		held := &failure{ResponseWriter: w}
		next.ServeHTTP(held, r)
		if held.status == 0 {
			return
		}
		if err := tryWrite(root); err != nil && isFull(err) {
			drop(root, r.URL.Path)
			// A client that is still sending would not read the answer otherwise.
			_, _ = io.Copy(io.Discard, r.Body)
			clear(w.Header())
			refuse(w, http.StatusInsufficientStorage, "DENIED",
				fmt.Sprintf("the disk of the embedded registry is full: free some space where %s is, or use another registry", root))
			return
		}
		held.release()
	})
}

// A failure holds back an answer with a server error.
type failure struct {
	http.ResponseWriter
	status int // of the answer that is held back; 0: none
	body   []byte
}

func (f *failure) WriteHeader(status int) {
	if status >= 500 {
		f.status = status
		return
	}
	f.ResponseWriter.WriteHeader(status)
}

func (f *failure) Write(p []byte) (int, error) {
	if f.status != 0 {
		f.body = append(f.body, p...)
		return len(p), nil
	}
	return f.ResponseWriter.Write(p)
}

func (f *failure) release() {
	f.ResponseWriter.WriteHeader(f.status)
	_, _ = f.ResponseWriter.Write(f.body) // the client may be gone
}

// tryWrite writes a small file, and returns the error.
func tryWrite(root string) error {
	file, err := os.CreateTemp(root, ".full-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(make([]byte, 256<<10))
	return errors.Join(err, file.Sync(), file.Close())
}

// drop removes the files of the upload that a request at path was for. The library does not
// do so when it cannot write. It also keeps the file open, so that its space would stay in
// use; so drop truncates the file first.
func drop(root, path string) {
	repository, id, ok := strings.Cut(strings.TrimPrefix(path, "/v2/"), "/blobs/uploads/")
	if !ok || !filepath.IsLocal(repository) || !filepath.IsLocal(id) || id == "." || id != filepath.Base(id) {
		return
	}
	dir := filepath.Join(root, "docker/registry/v2/repositories", repository, "_uploads", id)
	_ = os.Truncate(filepath.Join(dir, "data"), 0) // the file may not exist
	os.RemoveAll(dir)
}
