package main

import (
	"io"
	"net/url"

	"github.com/helmfile/vals/pkg/api"
	"github.com/helmfile/vals/pkg/config"
	"github.com/helmfile/vals/pkg/log"
	"github.com/helmfile/vals/pkg/providers/awssecrets"
	"github.com/helmfile/vals/pkg/providers/azurekeyvault"
	"github.com/helmfile/vals/pkg/providers/gcpsecrets"
	"github.com/helmfile/vals/pkg/providers/onepassword"
	"github.com/helmfile/vals/pkg/providers/onepasswordconnect"
	"github.com/helmfile/vals/pkg/providers/openbao"
	"github.com/helmfile/vals/pkg/providers/sops"
	"github.com/helmfile/vals/pkg/providers/ssm"
	"github.com/helmfile/vals/pkg/providers/vault"
)

// A manager is a kind of manager of secrets.
type manager struct {
	open func(config.MapConfig) api.Provider // with the parameters of a reference
	// parses means that the client parses the text of a document to get a map. Its errors may then quote the
	// text.
	parses bool
}

// managers returns the managers by the scheme of their references. It is the list of what references can do: no
// scheme that runs a program or reads the environment is in it, and the scheme "file" is [plainFile].
func managers() map[string]manager {
	silent := log.New(log.Config{Output: io.Discard})
	return map[string]manager{
		"awssecrets":         {func(c config.MapConfig) api.Provider { return awssecrets.New(silent, c, "off") }, true},
		"awsssm":             {func(c config.MapConfig) api.Provider { return ssm.New(silent, c, "off") }, false},
		"azurekeyvault":      {func(c config.MapConfig) api.Provider { return azurekeyvault.New(c) }, true},
		"gcpsecrets":         {func(c config.MapConfig) api.Provider { return gcpsecrets.New(c) }, true},
		"onepasswordconnect": {func(c config.MapConfig) api.Provider { return onepasswordconnect.New(c) }, true},
		"op":                 {func(c config.MapConfig) api.Provider { return onepassword.New(c) }, false},
		"openbao":            {func(c config.MapConfig) api.Provider { return openbao.New(silent, c) }, false},
		"sops":               {func(c config.MapConfig) api.Provider { return sops.New(silent, c, "off") }, true},
		"vault":              {func(c config.MapConfig) api.Provider { return vault.New(silent, c) }, false},
	}
}

// configOf returns the parameters of a reference as a client reads them.
func configOf(params url.Values) config.MapConfig {
	m := make(map[string]any)
	for name := range params {
		m[name] = params.Get(name)
	}
	return config.Map(m)
}
