package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sirupsen/logrus"
)

// A full disk, a power cut or a bad sector can damage the files. The library would then
// answer with a server error forever, or serve damaged content. So an image is checked when
// it is requested: its manifest must have its digest, and all its parts must exist with the
// size in the manifest. That takes a few microseconds for each part. The digest of a part is
// compared while the complete part is sent, as to nodes. Damaged files are removed, and the
// images that they belong to count as not found, so pipe builds or copies them again.

// A keeper knows the file layout of the library.
type keeper struct{ root string } // directory of all images

// damage describes damaged content, and what to remove.
type damage struct {
	what string
	path string // everything below it is removed; empty: a part is missing
}

func (d *damage) Error() string { return d.what }

func (k keeper) blob(hex string) string {
	return filepath.Join(k.root, "docker/registry/v2/blobs/sha256", hex[:2], hex)
}

func (k keeper) repository(name string) string {
	return filepath.Join(k.root, "docker/registry/v2/repositories", filepath.FromSlash(name))
}

var hexDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// hexOf returns the digest without the name of its algorithm. ok is false for other
// algorithms, which are not checked.
func hexOf(digest string) (string, bool) {
	return strings.TrimPrefix(digest, "sha256:"), hexDigest.MatchString(digest)
}

// A part is a descriptor in a manifest.
type part struct {
	MediaType string   `json:"mediaType"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"`
	URLs      []string `json:"urls"`
}

// elsewhere reports whether the part may be missing in this registry, such as layers of
// Windows.
func (p part) elsewhere() bool {
	return len(p.URLs) > 0 || strings.Contains(p.MediaType, "foreign") || strings.Contains(p.MediaType, "nondistributable")
}

// link checks the link file of dir, which contains a digest. If the file does not exist, the
// error is fs.ErrNotExist.
func (k keeper) link(dir string) (digest string, err error) {
	data, err := os.ReadFile(filepath.Join(dir, "link"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err != nil {
		return "", &damage{"a link cannot be read: " + err.Error(), dir}
	}
	if algorithm, _, ok := strings.Cut(string(data), ":"); !ok || algorithm == "sha256" && !hexDigest.Match(data) {
		return "", &damage{fmt.Sprintf("a link has no digest, but %.80q", data), dir}
	}
	return string(data), nil
}

// linked checks that dir links to a digest, and that its blob has size bytes. If size is
// negative, the blob itself was requested: then any size except 0 is accepted, and the
// content of the link is checked too.
func (k keeper) linked(dir, digest string, size int64) error {
	hex, ok := hexOf(digest)
	if !ok {
		return nil
	}
	link, err := os.Stat(filepath.Join(dir, "link"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &damage{what: digest + " is missing"}
	case err != nil:
		return &damage{"the link to " + digest + ": " + err.Error(), dir}
	case link.Size() != int64(len(digest)) || !link.Mode().IsRegular():
		return &damage{fmt.Sprintf("the link to %s has %d bytes of %d", digest, link.Size(), len(digest)), dir}
	case size < 0:
		if to, err := k.link(dir); err != nil {
			return err
		} else if to != digest {
			return &damage{fmt.Sprintf("the link to %s leads to %s", digest, to), dir}
		}
	}
	info, err := os.Stat(filepath.Join(k.blob(hex), "data"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &damage{what: digest + " is missing"}
	case err != nil:
		return &damage{digest + ": " + err.Error(), k.blob(hex)}
	case !info.Mode().IsRegular():
		return &damage{digest + " is not a file", k.blob(hex)}
	case size >= 0 && info.Size() != size:
		return &damage{fmt.Sprintf("%s has %d bytes of %d", digest, info.Size(), size), k.blob(hex)}
	case info.Size() == 0 && hex != emptyHex:
		return &damage{digest + " is empty", k.blob(hex)}
	}
	return nil
}

var emptyHex = hex.EncodeToString(sha256.New().Sum(nil))

// layer checks a blob of a repository, whatever its size.
func (k keeper) layer(repository, digest string) error {
	hex, ok := hexOf(digest)
	if !ok {
		return nil
	}
	dir := filepath.Join(k.repository(repository), "_layers/sha256", hex)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil // the library answers that it is not found
	}
	return k.linked(dir, digest, -1)
}

// manifest checks a manifest of a repository, by tag or digest, and all parts of it. It
// returns the digest, if that is known, and all damage. A manifest that does not exist is not
// damaged.
func (k keeper) manifest(repository, reference string) (digest string, all []error) {
	digest = reference
	if !strings.Contains(reference, ":") {
		dir := filepath.Join(k.repository(repository), "_manifests/tags", reference, "current")
		to, err := k.link(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		if err != nil {
			return "", []error{err}
		}
		digest = to
	} else if hex, ok := hexOf(digest); ok {
		if _, err := os.Stat(filepath.Join(k.repository(repository), "_manifests/revisions/sha256", hex)); errors.Is(err, fs.ErrNotExist) {
			return digest, nil
		}
	}
	return digest, k.whole(repository, digest, -1, 0)
}

// deepest is the maximum depth of nested indexes that are checked.
const deepest = 8

// whole checks a manifest and its parts.
func (k keeper) whole(repository, digest string, size int64, depth int) (all []error) {
	hexed, ok := hexOf(digest)
	if !ok || depth > deepest {
		return nil
	}
	in := k.repository(repository)
	if err := k.linked(filepath.Join(in, "_manifests/revisions/sha256", hexed), digest, size); err != nil {
		return []error{err}
	}
	data, err := os.ReadFile(filepath.Join(k.blob(hexed), "data"))
	if err != nil {
		return []error{&damage{digest + ": " + err.Error(), k.blob(hexed)}}
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != hexed {
		return []error{&damage{digest + " has another digest", k.blob(hexed)}}
	}
	var m struct {
		Config            *part
		Layers, Manifests []part
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&m); err != nil {
		return nil // it was pushed like this
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
	}
	for _, p := range m.Layers {
		if hex, ok := hexOf(p.Digest); ok && !p.elsewhere() {
			if err := k.linked(filepath.Join(in, "_layers/sha256", hex), p.Digest, p.Size); err != nil {
				all = append(all, err)
			}
		}
	}
	for _, p := range m.Manifests {
		all = append(all, k.whole(repository, p.Digest, p.Size, depth+1)...)
	}
	return all
}

// A mender removes damaged parts of the requested content before next answers.
type mender struct {
	keeper keeper
	next   http.Handler
}

// ServeHTTP implements [http.Handler]. It reports damage in the header that the OCI
// distribution specification defines for warnings.
func (m *mender) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	repository, kind, reference, ok := resource(r.URL.Path)
	if ok && kind == "manifests" && r.Method == http.MethodPut {
		m.put(repository, r)
	}
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		m.next.ServeHTTP(w, r)
		return
	}
	if kind == "blobs" {
		m.remove(repository, m.keeper.layer(repository, reference))
		if hex, ok := hexOf(reference); ok && r.Method == http.MethodGet && r.Header.Get("Range") == "" {
			v := &verifier{ResponseWriter: w, sum: sha256.New()}
			m.next.ServeHTTP(v, r)
			if v.whole && hex != v.hex() {
				m.remove(repository, &damage{reference + " has another digest", m.keeper.blob(hex)})
			}
			return
		}
		m.next.ServeHTTP(w, r)
		return
	}
	digest, all := m.keeper.manifest(repository, reference)
	if len(all) == 0 {
		m.next.ServeHTTP(w, r)
		return
	}
	for _, err := range all {
		m.remove(repository, err)
	}
	name := repository + "@" + digest
	if digest == "" {
		name = repository + ":" + reference
	}
	w.Header().Set("Warning", fmt.Sprintf("299 - %q", name+" is damaged, as by a full disk or a power cut: it counts as not there, and is built or copied again"))
	refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", name+" is damaged")
}

// maxManifest is more than the maximum size of a manifest in the library.
const maxManifest = 8 << 20

// put checks a manifest before it is written, because the library keeps an existing file with
// the same digest, even if that is damaged.
func (m *mender) put(repository string, r *http.Request) {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxManifest))
	rest := io.Reader(r.Body)
	if err != nil {
		rest = failing{err}
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(data), rest), r.Body}
	sum := sha256.Sum256(data)
	blob := m.keeper.blob(hex.EncodeToString(sum[:]))
	m.keeper.touch(filepath.Base(blob))
	if there, err := os.ReadFile(filepath.Join(blob, "data")); !errors.Is(err, fs.ErrNotExist) && !bytes.Equal(there, data) {
		m.remove(repository, &damage{fmt.Sprintf("sha256:%x has another digest", sum), blob})
	}
}

// A failing reader always returns its error.
type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// remove removes damaged content, and logs it.
func (m *mender) remove(repository string, err error) {
	var d *damage
	if !errors.As(err, &d) {
		return
	}
	line := logrus.WithField("repository", repository)
	if d.path == "" {
		line.Warn("damage: " + d.what)
		return
	}
	if err := os.RemoveAll(d.path); err != nil {
		line.Error("damage: " + d.what + ", and it cannot be removed: " + err.Error())
		return
	}
	line.Warn("damage: " + d.what + ": removed")
}

// resource splits the URL path of a manifest or a blob.
func resource(path string) (repository, kind, reference string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return "", "", "", false
	}
	for _, kind := range []string{"manifests", "blobs"} {
		at := strings.LastIndex(rest, "/"+kind+"/")
		if at < 0 {
			continue
		}
		repository, reference = rest[:at], rest[at+len(kind)+2:]
		return repository, kind, reference, filepath.IsLocal(repository) && filepath.IsLocal(reference) && !strings.Contains(reference, "/")
	}
	return "", "", "", false
}

// A verifier computes the digest of a response body.
type verifier struct {
	http.ResponseWriter
	sum   hash.Hash
	whole bool // the response is the complete blob, and no write has failed
}

func (v *verifier) WriteHeader(status int) {
	v.whole = status == http.StatusOK
	v.ResponseWriter.WriteHeader(status)
}

func (v *verifier) Write(p []byte) (int, error) {
	n, err := v.ResponseWriter.Write(p)
	v.sum.Write(p[:n])
	v.whole = v.whole && err == nil
	return n, err
}

func (v *verifier) hex() string { return hex.EncodeToString(v.sum.Sum(nil)) }
