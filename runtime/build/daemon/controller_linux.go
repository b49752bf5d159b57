package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	ctdsnapshots "github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/moby/buildkit/cache/remotecache"
	"github.com/moby/buildkit/cache/remotecache/inline"
	localcache "github.com/moby/buildkit/cache/remotecache/local"
	registrycache "github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/appdefaults"
	"github.com/moby/buildkit/util/archutil"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/runc"
	"github.com/moby/sys/userns"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/pipelinefile/pipe/internal/stall"
)

// newController assembles BuildKit: one worker that runs containers with runc, the Dockerfile
// frontend, and the cache importers and exporters. It notes in busy which registries ask to wait.
func newController(ctx context.Context, o options, l *limits, busy *busyHosts) (*control.Controller, error) {
	conf, err := readConfig(o.Config)
	if err != nil {
		return nil, err
	}
	hosts := withTransport(registryHosts(conf.Registries, o.Registries), busy, stall.Read, stall.Write)
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	w, err := newWorker(ctx, o, conf, l, busy)
	if err != nil {
		return nil, fmt.Errorf("start BuildKit's worker: %w", err)
	}
	w.RegistryHosts = hosts
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return nil, err
	}
	gatewayFrontend, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	if err != nil {
		return nil, err
	}
	cache, err := bboltcachestorage.NewStore(filepath.Join(o.Root, "cache.db"))
	if err != nil {
		return nil, err
	}
	history, err := boltutil.SafeOpen(filepath.Join(o.Root, "history.db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	return control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends: map[string]frontend.Frontend{
			"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build),
			"gateway.v0":    gatewayFrontend,
		},
		ResolveCacheExporterFuncs: map[string]remotecache.ResolveCacheExporterFunc{
			"registry": registrycache.ResolveCacheExporterFunc(sessions, hosts),
			"local":    localcache.ResolveCacheExporterFunc(sessions),
			"inline":   inline.ResolveCacheExporterFunc(),
		},
		ResolveCacheImporterFuncs: map[string]remotecache.ResolveCacheImporterFunc{
			"registry": registrycache.ResolveCacheImporterFunc(sessions, w.ContentStore(), hosts),
			"local":    localcache.ResolveCacheImporterFunc(sessions),
		},
		CacheManager:   solver.NewCacheManager(ctx, "local", cache, worker.NewCacheResultStorage(workers)),
		HistoryDB:      history,
		CacheStore:     cache,
		LeaseManager:   w.LeaseManager(),
		ContentStore:   w.ContentStore(),
		GarbageCollect: w.GarbageCollect,
		GracefulStop:   ctx.Done(),
	})
}

func newWorker(ctx context.Context, o options, conf config.Config, l *limits, busy *busyHosts) (*base.Worker, error) {
	labels := map[string]string{}
	if l.groups != nil {
		labels[togetherLabel] = "true"
	} else {
		logrus.Debugf("the commands of a build have no limits together: %v", l.why)
	}
	opt, err := runc.NewWorkerOpt(o.Root, snapshotter(o.Root), userns.RunningInUserNS(), oci.ProcessSandbox, labels, nil,
		// The host's network, because other modes need plugins. It also lets a build access
		// services on the user's loopback interface.
		netproviders.Opt{Mode: "host"}, dns(conf.DNS), "", "", false, nil, "", "", nil)
	if err != nil {
		return nil, err
	}
	opt.RegistryHosts = withTransport(registryHosts(conf.Registries, o.Registries), busy, stall.Read, stall.Write)
	opt.Platforms = archutil.SupportedPlatforms(false)
	opt.GCPolicy = gcPolicy(o.Root, o.CacheBytes)
	opt.Executor = &limitedExecutor{opt.Executor, l}
	return base.NewWorker(ctx, opt)
}

// snapshotter returns overlayfs, or plain copies if the root's file system does not support
// it.
func snapshotter(root string) runc.SnapshotterFactory {
	if overlayutils.Supported(root) != nil {
		return runc.SnapshotterFactory{Name: "native", New: native.NewSnapshotter}
	}
	return runc.SnapshotterFactory{Name: "overlayfs", New: func(dir string) (ctdsnapshots.Snapshotter, error) {
		return overlay.NewSnapshotter(dir, overlay.AsynchronousRemove)
	}}
}

// gcPolicy limits the cache to limit bytes, and keeps some space of the disk free. It removes
// first what is cheap to recreate, such as copies of build contexts, and then what has not
// been used for the longest time.
func gcPolicy(root string, limit int64) []client.PruneInfo {
	if limit == 0 {
		limit = 20 << 30
	}
	var free int64
	var disk unix.Statfs_t
	if unix.Statfs(root, &disk) == nil {
		free = min(int64(disk.Blocks)*disk.Bsize/20, 5<<30)
	}
	return []client.PruneInfo{
		{
			Filter:       []string{"type==source.local", "type==exec.cachemount", "type==source.git.checkout"},
			KeepDuration: 48 * time.Hour,
			MaxUsedSpace: limit / 20,
		},
		{KeepDuration: 60 * 24 * time.Hour, MaxUsedSpace: limit, MinFreeSpace: free, ReservedSpace: limit / 10},
		{MaxUsedSpace: limit, MinFreeSpace: free, ReservedSpace: limit / 10},
		{All: true, MaxUsedSpace: limit, MinFreeSpace: free, ReservedSpace: limit / 10},
	}
}

// readConfig reads a buildkitd.toml, whose settings for registries and name servers are used.
func readConfig(file string) (config.Config, error) {
	if file == "" {
		file = filepath.Join(appdefaults.ConfigDir, "buildkitd.toml")
		if userns.RunningInUserNS() {
			file = filepath.Join(appdefaults.UserConfigDir(), "buildkitd.toml")
		}
	}
	conf, err := config.LoadFile(file)
	if err != nil && !os.IsPermission(err) {
		return conf, fmt.Errorf("%s: %w", file, err)
	}
	return conf, nil
}

func dns(c *config.DNSConfig) *oci.DNSConfig {
	if c == nil {
		return nil
	}
	return &oci.DNSConfig{Nameservers: c.Nameservers, Options: c.Options, SearchDomains: c.SearchDomains}
}
