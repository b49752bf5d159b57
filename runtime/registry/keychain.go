package registry

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// A keychain caches the credentials of another keychain for each registry, because a
// credential helper is a program that may take a second. It looks up credentials of a
// repository, which Docker does not support, only if the registry has none.
type keychain struct {
	from authn.Keychain

	mu    sync.Mutex
	known map[string]authn.Authenticator // by registry; guarded by mu, also during lookups
}

func newKeychain(from authn.Keychain) *keychain {
	if from == nil {
		from = authn.DefaultKeychain
	}
	return &keychain{from: from, known: map[string]authn.Authenticator{}}
}

var _ authn.ContextKeychain = (*keychain)(nil)

// Resolve implements [authn.Keychain].
func (k *keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target)
}

// ResolveContext implements [authn.ContextKeychain].
func (k *keychain) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	host := target.RegistryStr()
	found, err := k.ofRegistry(ctx, host)
	if err == nil && found == authn.Anonymous && target.String() != host {
		found, err = authn.Resolve(ctx, k.from, target)
	}
	if err != nil {
		return nil, &credentialError{host, err}
	}
	return found, nil
}

func (k *keychain) ofRegistry(ctx context.Context, host string) (authn.Authenticator, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if found, ok := k.known[host]; ok {
		return found, nil
	}
	registry, err := name.NewRegistry(host)
	if err != nil {
		return nil, err
	}
	found, err := authn.Resolve(ctx, k.from, registry)
	if err == nil {
		k.known[host] = found
	}
	return found, err
}

// forget clears the cache, so that credentials are looked up again.
func (k *keychain) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.known)
}

// A credentialError says that credentials could not be looked up.
type credentialError struct {
	host string
	err  error
}

// Error omits the output of a helper if it may contain a credential.
func (e *credentialError) Error() string {
	why, printed, _ := strings.Cut(e.err.Error(), ", out: ")
	if printed = strings.Trim(printed, "` "); printed != "" && !strings.ContainsAny(printed, "{}") {
		why += ": " + printed
	}
	return fmt.Sprintf("the credentials for registry %s cannot be looked up: %s: see credsStore and credHelpers in Docker's config.json", shownHost(e.host), why)
}
