package build

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/runtime"
)

// A keyring provides the secrets of one build to BuildKit.
type keyring struct {
	values map[string]runtime.Secret
	repo   string // git source; BuildKit requests credentials for its host
}

var _ secrets.SecretStore = keyring{}

// gitHeader is the prefix of BuildKit's name for the secret with the Authorization header
// for a host of git repositories.
const gitHeader = "GIT_AUTH_HEADER."

// GetSecret implements [secrets.SecretStore].
func (k keyring) GetSecret(ctx context.Context, id string) ([]byte, error) {
	if v, ok := k.values[id]; ok {
		return []byte(v.Reveal()), nil
	}
	if k.repo != "" && strings.HasPrefix(id, gitHeader) {
		if header := credential(ctx, k.repo); header != "" {
			return []byte(header), nil
		}
	}
	return nil, secrets.ErrNotFound
}

func basicAuth(user, pass string) string {
	return "basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+pass))
}

// attachables returns what BuildKit may request during a build: credentials of
// registries, secrets, and the keys of the user's SSH agent for git over SSH.
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
	attach := []session.Attachable{
		authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{AuthConfigProvider: credentials}),
		secretsprovider.NewSecretProvider(keyring{j.secrets, j.src.url}),
	}
	if j.src.url != "" {
		// Without an agent, repositories that need no key still work.
		if agent, err := sshprovider.NewSSHAgentProvider([]sshprovider.AgentConfig{{ID: "default"}}); err == nil {
			attach = append(attach, agent)
		}
	}
	return attach, nil
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
