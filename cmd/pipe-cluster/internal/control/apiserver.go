package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// listen opens the API server's port: the previous one if possible, otherwise any free one. A port
// that is in use may be that of a connection that ends soon, so it is tried again until free ends;
// busy is called before that. As listen opens the port before it is published, no other process can
// take it in between.
func listen(free context.Context, c *home.Config, busy func()) (net.Listener, error) {
	var l net.Listener
	var err error
	for tries := 0; ; tries++ {
		l, err = net.Listen("tcp", net.JoinHostPort(c.Address, strconv.Itoa(c.Port)))
		if c.Port == 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
		if tries == 0 {
			busy()
		}
		select {
		case <-free.Done():
		case <-time.After(50 * time.Millisecond):
			continue
		}
		break
	}
	if err != nil && c.Port != 0 {
		l, err = net.Listen("tcp", net.JoinHostPort(c.Address, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s for the API server: %w", c.Address, err)
	}
	c.Port = l.Addr().(*net.TCPAddr).Port
	return l, nil
}

// apiServer prepares kube-apiserver with the listener.
func apiServer(ctx context.Context, d home.Dir, c home.Config, l net.Listener) (func(context.Context) error, error) {
	pki := func(name string) string { return filepath.Join(d.PKI(), name) }
	args := []string{
		"--etcd-servers=" + etcdEndpoint,
		"--bind-address=" + c.Address,
		"--advertise-address=" + c.Address,
		"--secure-port=" + strconv.Itoa(c.Port),
		"--service-cluster-ip-range=" + c.ServiceCIDR,
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--profiling=false",
		"--tls-cert-file=" + pki("apiserver.crt"),
		"--tls-private-key-file=" + pki("apiserver.key"),
		"--client-ca-file=" + pki("ca.crt"),
		"--kubelet-client-certificate=" + pki("apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + pki("apiserver-kubelet-client.key"),
		"--kubelet-certificate-authority=" + pki("ca.crt"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + pki("sa.pub"),
		"--service-account-signing-key-file=" + pki("sa.key"),
		"--requestheader-client-ca-file=" + pki("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + pki("front-proxy-client.crt"),
		"--proxy-client-key-file=" + pki("front-proxy-client.key"),
	}
	if net.ParseIP(c.Address).IsLoopback() {
		// Endpoints of the Service "kubernetes" must not be loopback addresses; in this case no process
		// runs that would use them.
		args = append(args, "--endpoint-reconciler-type=none")
	}
	o := options.NewServerRunOptions()
	if err := parse(o.Flags(), args); err != nil {
		return nil, fmt.Errorf("kube-apiserver: %w", err)
	}
	if err := o.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return nil, fmt.Errorf("kube-apiserver: %w", err)
	}
	o.SecureServing.Listener = l
	complete, err := o.Complete(ctx)
	if err != nil {
		return nil, fmt.Errorf("kube-apiserver: %w", err)
	}
	if errs := complete.Validate(); len(errs) > 0 {
		return nil, fmt.Errorf("kube-apiserver: %w", errors.Join(errs...))
	}
	return func(ctx context.Context) error { return app.Run(ctx, complete) }, nil
}

// parse sets options through their named sets of flags, which are the only complete and stable way to
// set them.
func parse(sets cliflag.NamedFlagSets, args []string) error {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, f := range sets.FlagSets {
		all.AddFlagSet(f)
	}
	return all.Parse(args)
}
