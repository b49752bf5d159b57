package main

import (
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
)

// cacheDays is for how long what is known about the public instance is used without asking it.
const cacheDays = 1

// A repository is where the public instance publishes its trusted root, by TUF.
type repository struct {
	url  string
	root []byte // the first root of trust, which is in this program
}

// trust knows whose certificates, logs and timestamps count.
type trust struct {
	repository repository
	cache      string // directory
	client     *tuf.Client
}

// public returns the client of the public instance. The first one asks it, and then one a day.
func (t *trust) public() (*tuf.Client, error) {
	if t.client != nil {
		return t.client, nil
	}
	opts := tuf.DefaultOptions().WithRepositoryBaseURL(t.repository.url).WithRoot(t.repository.root).WithCachePath(t.cache).WithCacheValidity(cacheDays)
	client, err := tuf.New(opts)
	if err != nil {
		return nil, t.unknown(err)
	}
	t.client = client
	return client, nil
}

func (t *trust) unknown(err error) error {
	return &failure{
		Message: fmt.Sprintf("the trusted root of the public instance of Sigstore is not known: %s: %v", t.repository.url, err),
		Do:      "make " + t.repository.url + " reachable, and check the clock of this machine; or give another instance with trusted_root=",
	}
}

// root returns a trusted root; without text, that of the public instance.
func (t *trust) root(text string) (*root.TrustedRoot, error) {
	if text == "" {
		client, err := t.public()
		if err != nil {
			return nil, err
		}
		all, err := root.GetTrustedRoot(client)
		if err != nil {
			return nil, t.unknown(err)
		}
		return all, nil
	}
	all, err := root.NewTrustedRootFromJSON([]byte(text))
	const do = "write the trusted_root.json of the instance of Sigstore again: its operator publishes it, and cosign trusted-root create makes one"
	switch {
	case err != nil:
		return nil, &failure{Message: fmt.Sprintf("trusted_root= is damaged: %v", err), Do: do}
	case len(all.FulcioCertificateAuthorities()) == 0:
		return nil, &failure{Message: "trusted_root= has no certificate authority (certificateAuthorities)", Do: do}
	case len(all.CTLogs()) == 0:
		return nil, &failure{Message: "trusted_root= has no log of certificates (ctlogs)", Do: do}
	case len(all.RekorLogs())+len(all.TimestampingAuthorities()) == 0:
		return nil, &failure{Message: "trusted_root= has neither a transparency log (tlogs) nor a timestamp authority (timestampAuthorities)", Do: do}
	}
	return all, nil
}

// signingConfig returns where the services that sign are; without text, those of the public instance.
func (t *trust) signingConfig(text string) (*root.SigningConfig, error) {
	if text == "" {
		client, err := t.public()
		if err != nil {
			return nil, err
		}
		config, err := root.GetSigningConfig(client)
		if err != nil {
			return nil, t.unknown(err)
		}
		return config, nil
	}
	config, err := root.NewSigningConfigFromJSON([]byte(text))
	if err != nil {
		return nil, &failure{
			Message: fmt.Sprintf("signing_config= is damaged: %v", err),
			Do:      "write the signing_config.json of the instance of Sigstore again: its operator publishes it, and cosign signing-config create makes one",
		}
	}
	return config, nil
}
