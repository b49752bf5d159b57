package control

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// etcdEndpoint is a socket in the working directory (home.Dir.Run): it does not need a port, and other
// users of the machine cannot read the cluster's secrets there.
const etcdEndpoint = "unix://etcd.sock"

// startEtcd starts etcd with the cluster's data. With fsync, the data survives a power failure, and not
// only a SIGKILL.
func startEtcd(ctx context.Context, d home.Dir, fsync bool) (*embed.Etcd, error) {
	c := embed.NewConfig()
	c.Dir = d.Etcd()
	c.Logger, c.LogLevel, c.LogOutputs = "zap", "error", []string{"stderr"}
	c.UnsafeNoFsync = !fsync
	c.EnableGRPCGateway = false
	// The only member elects itself, so it need not wait long for others.
	c.TickMs, c.ElectionMs = 20, 200
	// Kubernetes compacts the data, but the file is never defragmented. With etcd's default quota of
	// 2 GiB, etcd would become read-only.
	c.QuotaBackendBytes = 8 << 30
	// etcd keeps this many entries in memory for members that lag behind. There are no other members,
	// and an entry may be a release of 1 MB: with the defaults, they would need gigabytes.
	c.SnapshotCount, c.SnapshotCatchUpEntries = 500, 1
	c.ListenClientUrls = []url.URL{{Scheme: "unix", Host: "etcd.sock"}}
	c.ListenPeerUrls = []url.URL{{Scheme: "unix", Host: "etcd-peer.sock"}}
	// The advertised address must have the form host:port, but no other member uses it.
	c.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:2379"}}
	c.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:2380"}}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	e, err := embed.StartEtcd(c)
	if err != nil {
		return nil, fmt.Errorf("start etcd on %s: %w", c.Dir, err)
	}
	select {
	case <-e.Server.ReadyNotify():
		return e, nil
	case err := <-e.Err():
		return nil, fmt.Errorf("start etcd on %s: %w", c.Dir, err)
	case <-ctx.Done():
		e.Close()
		return nil, context.Cause(ctx)
	case <-time.After(time.Minute):
		e.Close()
		return nil, fmt.Errorf("start etcd on %s: not ready after a minute", c.Dir)
	}
}
