package chart

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/registry"
	"helm.sh/helm/v3/pkg/repo"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/internal/redact"
)

const (
	fetchTime = 2 * time.Minute
	gitTime   = 10 * time.Minute // for a commit, with its submodules and large files
	fetchSize = 100 << 20
)

// exact matches a single version, as opposed to a range of versions. Such a chart
// does not change, so it is fetched once.
var exact = regexp.MustCompile(`^v?\d+\.\d+\.\d+([-+][-+.0-9A-Za-z]+)?$`)

// fromRepository fetches a chart of a chart repository, or takes it from the cache.
func (s *Shelf) fromRepository(ctx context.Context, address, name, version string) (*chart.Chart, error) {
	return s.cached(ctx, address+"\n"+name, version, func() ([]byte, error) {
		at, err := repo.ResolveReferenceURL(address, "index.yaml")
		if err != nil {
			return nil, err
		}
		data, err := get(ctx, address, at)
		if err != nil {
			return nil, fmt.Errorf("chart repository %s: %w", redact.URLs(address), err)
		}
		index := &repo.IndexFile{}
		if err := yaml.Unmarshal(data, index); err != nil {
			return nil, fmt.Errorf("chart repository %s: index.yaml is not valid: %w", redact.URLs(address), err)
		}
		index.SortEntries()
		found, err := index.Get(name, version)
		if err != nil || len(found.URLs) == 0 {
			return nil, fmt.Errorf("chart repository %s has no chart %s", redact.URLs(address), named(name, version))
		}
		if at, err = repo.ResolveReferenceURL(address, found.URLs[0]); err != nil {
			return nil, err
		}
		if data, err = get(ctx, address, at); err != nil {
			return nil, err
		}
		if want := strings.TrimPrefix(found.Digest, "sha256:"); want != "" {
			if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want {
				return nil, fmt.Errorf("%s does not match the repository's index: its digest is different", redact.URLs(at))
			}
		}
		return data, nil
	})
}

// fromRegistry fetches a chart of an OCI registry, or takes it from the cache.
func (s *Shelf) fromRegistry(ctx context.Context, ref, version string) (*chart.Chart, error) {
	return s.cached(ctx, ref, version, func() ([]byte, error) {
		name := strings.TrimPrefix(ref, "oci://")
		host, _, _ := strings.Cut(name, "/")
		// The client does not take a context; its requests get it here.
		send := roundTrip(func(req *http.Request) (*http.Response, error) {
			return http.DefaultTransport.RoundTrip(req.WithContext(ctx))
		})
		options := []registry.ClientOption{registry.ClientOptHTTPClient(&http.Client{Transport: send, Timeout: fetchTime})}
		if loopback(host) {
			options = append(options, registry.ClientOptPlainHTTP())
		}
		client, err := registry.NewClient(options...)
		if err != nil {
			return nil, err
		}
		tag := strings.ReplaceAll(version, "+", "_")
		if !exact.MatchString(version) {
			tags, err := client.Tags(name)
			if err != nil {
				return nil, err
			}
			if tag, err = registry.GetTagMatchingVersionOrConstraint(tags, version); err != nil {
				return nil, fmt.Errorf("registry has no chart %s", named(ref, version))
			}
		}
		result, err := client.Pull(name + ":" + tag)
		if err != nil {
			return nil, err
		}
		return result.Chart.Data, nil
	})
}

// get fetches a URL that a chart repository has named.
func get(ctx context.Context, repository, address string) ([]byte, error) {
	ctx, stop := context.WithTimeoutCause(ctx, fetchTime, fmt.Errorf("no answer within %s", fetchTime))
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	l, err := loginOf(repository)
	if err != nil {
		return nil, err
	}
	l.sign(req)
	resp, err := (&http.Client{Transport: l}).Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, l.explain(err, req.URL)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		return nil, fmt.Errorf("%s: %s: give Helm a user and a password for it: %s", redact.URLs(address), resp.Status, l.add("--username USER --password-stdin"))
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", redact.URLs(address), resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, fetchSize+1))
	if err == nil && len(data) > fetchSize {
		err = fmt.Errorf("%s is larger than %d MiB", redact.URLs(address), fetchSize>>20)
	}
	return data, err
}

// A roundTrip is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// loopback reports whether host is this machine, where registries use plain HTTP.
func loopback(host string) bool {
	u := url.URL{Host: host}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func named(name, version string) string {
	if version == "" {
		return name
	}
	return name + " " + version
}
