// Package local puts a runtime together on the machine that it runs on: from
// the builder, the registry and the cluster that are named to it, or else from
// the embedded ones.
package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Options say where the parts are. The zero value uses the embedded builder,
// the embedded registry and the current context of the kubeconfig.
type Options struct {
	Dir         string           // the workspace: builds and charts are below it
	Home        string           // state of pipe on this machine; default: see [Home]
	Executable  string           // the pipe command, which runs the embedded parts in the background
	Registry    string           // the registry of images; empty: the embedded one
	BuildKit    []string         // addresses of builders; none: the embedded one
	BuildKitTLS string           // a folder with ca.pem, cert.pem and key.pem, for builders at tcp://
	Kubeconfig  string           // a file; empty: $KUBECONFIG or ~/.kube/config
	Context     string           // of the kubeconfig; empty: its current one
	Local       bool             // use the local Kubernetes, which is started if there is none (C5)
	Passive     bool             // start nothing: what is not running is an *UnavailableError
	Secrets     runtime.Secrets  // nil: there are none outside the cluster
	Hide        []plan.SecretRef // secrets whose values are kept out of what is shown, also when nothing asks for them
	Progress    func(string)     // told what Open is waiting for; nil: nobody
}

// A Runtime is a runtime with what was opened for it.
type Runtime struct {
	runtime.Runtime
	close []func() error // in the order of opening
}

// Close gives back what Open has opened. Embedded parts go on in the background
// for other runs, and end by themselves.
func (r *Runtime) Close() error {
	var errs []error
	for i := len(r.close) - 1; i >= 0; i-- {
		errs = append(errs, r.close[i]())
	}
	r.close = nil
	return errors.Join(errs...)
}

// progress tells whoever wants to know.
func (o Options) progress(what string) {
	if o.Progress != nil {
		o.Progress(what)
	}
}

// An UnavailableError says that a part cannot be used: there is none, or it
// does not answer.
type UnavailableError struct {
	Part string // "cluster", "registry", "builder"
	Err  error  // why, with where it was looked for
	Next string // what to do about it
}

func (e *UnavailableError) Error() string { return fmt.Sprintf("%s: %v", e.Part, e.Err) }
func (e *UnavailableError) Unwrap() error { return e.Err }

// Open puts a runtime together. It asks the cluster whether it answers; the
// embedded builder is started when it is first needed. An error about a part that cannot be used is an
// *UnavailableError.
func Open(ctx context.Context, opts Options) (*Runtime, error) {
	if _, err := cluster(ctx, opts); err != nil {
		return nil, err
	}
	return nil, errors.ErrUnsupported
}
