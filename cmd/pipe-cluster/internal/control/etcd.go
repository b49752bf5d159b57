package control

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// etcdEndpoint is a socket in the working directory (home.Dir.Run): no port to choose, and no other user of the machine
// can read the cluster's secrets there.
const etcdEndpoint = "unix://etcd.sock"

// startEtcd opens the cluster's data. fsync says whether it must outlive a power failure, and not only a SIGKILL.
func startEtcd(ctx context.Context, d home.Dir, fsync bool) (*embed.Etcd, error) {
	c := embed.NewConfig()
	c.Dir = d.Etcd()
	c.Logger, c.LogLevel, c.LogOutputs = "zap", "error", []string{"stderr"}
	c.UnsafeNoFsync = !fsync
	c.EnableGRPCGateway = false
	// One member elects itself: it need not wait long for others.
	c.TickMs, c.ElectionMs = 20, 200
	// Kubernetes compacts, but nothing defragments the file, which at etcd's default of 2 GiB would turn read-only.
	c.QuotaBackendBytes = 8 << 30
	// What was written is kept in memory until there are so many entries, for members that lag behind. There are none, and
	// an entry may be a release of 1 MB: by default they come to gigabytes.
	c.SnapshotCount, c.SnapshotCatchUpEntries = 500, 1
	c.ListenClientUrls = []url.URL{{Scheme: "unix", Host: "etcd.sock"}}
	c.ListenPeerUrls = []url.URL{{Scheme: "unix", Host: "etcd-peer.sock"}}
	// What is advertised must look like host:port; there is no other member that would call it.
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
