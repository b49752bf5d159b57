package daemon

import (
	"maps"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/moby/buildkit/util/resolver"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"

	"github.com/pipelinefile/pipe/internal/mirrors"
)

// registryHosts returns where BuildKit reads and writes images. file is a registries.conf, which
// says where a registry is read; all else, such as certificates, is in the configuration. Loopback
// hosts use plain HTTP unless the configuration says otherwise.
func registryHosts(config map[string]resolverconfig.RegistryConfig, file string) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		elsewhere, err := mirrors.Read(file)
		if err != nil {
			return nil, err
		}
		of, ok := elsewhere.Registry(host)
		if !ok {
			return resolver.NewRegistryConfig(config)(host)
		}
		places := of.Mirrors
		if of.Replaced() {
			places = of.Places()
		}
		here := config[host]
		here.Mirrors = nil
		for _, p := range places {
			here.Mirrors = append(here.Mirrors, mirrors.Place{Host: mirrors.Endpoint(p.Host), Path: p.Path}.String())
		}
		with := maps.Clone(config)
		if with == nil {
			with = map[string]resolverconfig.RegistryConfig{}
		}
		with[host] = here
		hosts, err := resolver.NewRegistryConfig(with)(host)
		if err == nil && of.Replaced() { // the last one is the registry itself
			hosts[len(hosts)-1].Capabilities = docker.HostCapabilityPush
		}
		return hosts, err
	}
}
