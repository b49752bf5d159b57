package trial

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// The names under which the public instance publishes what clients need.
const (
	rootTarget   = "trusted_root.json"
	configTarget = "signing_config.v0.2.json"
)

// A Repository publishes, by TUF, the trusted root and the signing config of an instance.
type Repository struct {
	Root  []byte       // the first root of trust, which clients have
	Asked atomic.Int64 // requests

	files map[string][]byte // by path
}

// Publish returns a repository whose metadata are valid until a time.
func (i *Instance) Publish(until time.Time) (*Repository, error) {
	trusted, err := i.TrustedRoot()
	if err != nil {
		return nil, err
	}
	config, err := i.SigningConfig()
	if err != nil {
		return nil, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := signature.LoadSigner(key, crypto.Hash(0))
	if err != nil {
		return nil, err
	}
	public, err := metadata.KeyFromPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	r := &Repository{files: make(map[string][]byte)}
	root, targets, snapshot, stamp := metadata.Root(until), metadata.Targets(until), metadata.Snapshot(until), metadata.Timestamp(until)
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if err := root.Signed.AddKey(public, role); err != nil {
			return nil, err
		}
	}
	for name, data := range map[string][]byte{rootTarget: trusted, configTarget: config} {
		file, err := metadata.TargetFile().FromBytes(name, data, "sha256")
		if err != nil {
			return nil, err
		}
		targets.Signed.Targets[name] = file
		hash := sha256.Sum256(data)
		r.files["/targets/"+hex.EncodeToString(hash[:])+"."+name] = data
	}
	for path, of := range map[string]interface {
		Sign(signature.Signer) (*metadata.Signature, error)
		ToBytes(bool) ([]byte, error)
	}{"/1.root.json": root, "/1.targets.json": targets, "/1.snapshot.json": snapshot, "/timestamp.json": stamp} {
		if _, err := of.Sign(signer); err != nil {
			return nil, fmt.Errorf("sign %s: %w", path, err)
		}
		if r.files[path], err = of.ToBytes(false); err != nil {
			return nil, err
		}
	}
	r.Root = r.files["/1.root.json"]
	return r, nil
}

// ServeHTTP implements [http.Handler].
func (r *Repository) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.Asked.Add(1)
	data, ok := r.files[request.URL.Path]
	if !ok {
		http.NotFound(w, request)
		return
	}
	_, _ = w.Write(data)
}
