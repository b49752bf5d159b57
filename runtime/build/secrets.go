package build

import (
	"context"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/session/secrets/secretsprovider"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/runtime"
)

// A keyring provides the secrets of one build to BuildKit. It has nothing else: a Dockerfile
// of a repository gets no credentials for others.
type keyring map[string]runtime.Secret

var _ secrets.SecretStore = keyring{}

// GetSecret implements [secrets.SecretStore].
func (k keyring) GetSecret(_ context.Context, id string) ([]byte, error) {
	if v, ok := k[id]; ok {
		return []byte(v.Reveal()), nil
	}
	return nil, secrets.ErrNotFound
}

// attachables returns what BuildKit may request during a build: credentials of
// registries, and secrets.
func (b *Builder) attachables(j job) ([]session.Attachable, error) {
	dir := b.opts.DockerConfig
	if dir == "" {
		dir = config.Dir()
	}
	file, err := config.Load(dir)
	if err != nil {
		return nil, err
	}
	docker := authprovider.LoadAuthConfig(file)
	credentials := func(ctx context.Context, host string, scope []string, expired authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
		if b.opts.Password != nil {
			if user, password, ok := b.opts.Password(host); ok {
				return types.AuthConfig{ServerAddress: host, Username: user, Password: password}, nil
			}
		}
		return docker(ctx, host, scope, expired)
	}
	return []session.Attachable{
		authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{AuthConfigProvider: credentials}),
		secretsprovider.NewSecretProvider(keyring(j.secrets)),
	}, nil
}

// hider returns a function that redacts the values of the secrets of a build in the
// output of its commands. Names of the build are not changed.
func hider(values map[string]runtime.Secret, names ...string) func(string) string {
	var hidden redact.Values
	for _, v := range values {
		hidden.Add(v.Reveal()) // values that are too short to be hidden are reported where they are read
	}
	return hidden.Except(names...)
}
