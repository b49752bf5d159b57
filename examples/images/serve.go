package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

var (
	manifestPath = regexp.MustCompile(`^/v2/([a-z0-9._/-]+)/manifests/([A-Za-z0-9._:-]+)$`)
	blobPath     = regexp.MustCompile(`^/v2/([a-z0-9._/-]+)/blobs/(sha256:[0-9a-f]{64})$`)
	tagsPath     = regexp.MustCompile(`^/v2/([a-z0-9._/-]+)/tags/list$`)
)

// ServeHTTP serves the images as a registry that cannot be written to.
func (s Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "this registry is only read from")
		return
	}
	if r.URL.Path == "/v2/" || r.URL.Path == "/v2" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
		return
	}
	index, err := s.Images()
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	switch {
	case manifestPath.MatchString(r.URL.Path):
		m := manifestPath.FindStringSubmatch(r.URL.Path)
		for _, d := range index.Manifests {
			if repository(d) == m[1] && (m[2] == d.Digest.String() || m[1]+":"+m[2] == d.Annotations[annotationName]) {
				s.blob(w, r, d.Digest, string(d.MediaType))
				return
			}
		}
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "no image "+m[1]+":"+m[2])
	case blobPath.MatchString(r.URL.Path):
		m := blobPath.FindStringSubmatch(r.URL.Path)
		digest, err := v1.NewHash(m[2])
		if err != nil {
			refuse(w, http.StatusBadRequest, "DIGEST_INVALID", err.Error())
			return
		}
		s.blob(w, r, digest, "application/octet-stream")
	case tagsPath.MatchString(r.URL.Path):
		name := tagsPath.FindStringSubmatch(r.URL.Path)[1]
		tags := []string{}
		for _, d := range index.Manifests {
			if repo, tag, _ := strings.Cut(d.Annotations[annotationName], ":"); repo == name {
				tags = append(tags, tag)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"name": name, "tags": tags}) // the client is gone
	default:
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "no such thing")
	}
}

func (s Store) blob(w http.ResponseWriter, r *http.Request, digest v1.Hash, mediaType string) {
	file, err := os.Open(filepath.Join(s.blobs(), digest.Hex))
	if err != nil {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "no blob "+digest.String())
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Docker-Content-Digest", digest.String())
	http.ServeContent(w, r, "", info.ModTime(), file)
}

// refuse answers with an error in the form of the registry protocol.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body := map[string]any{"errors": []map[string]string{{"code": code, "message": message}}}
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}
