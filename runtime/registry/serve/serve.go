// Package serve implements the embedded registry, which stores images on disk and listens on
// loopback.
//
// [Ensure] runs it as a background process of the same binary, which calls [Serve]. [Start]
// runs it in the calling process. Its address is chosen once and kept, because releases name
// images by it. It ends after an idle time. Releases continue to work, because nodes keep the
// images that they run.
//
// Anyone who can connect to the loopback address can read. Writes require a password that
// only the user who runs the process can read: see [Password]. A registry of Start has no
// password; its caller must protect it in another way. Web pages can neither read nor write:
// requests for other hosts and cross-origin requests of browsers are rejected.
package serve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/pipelinefile/pipe/internal/background"
)

// Options configure the registry.
type Options struct {
	// Dir is the absolute path of its directory, with images, address and log.
	Dir string
	// Idle is the time after which an unused registry ends. Default: 30 minutes; negative: it
	// never ends. Ignored by Start.
	Idle time.Duration
	// Addr is the loopback address to listen on. Default: a port that is chosen once and kept
	// in Dir. Only for Start.
	Addr string
	// Executable and Args start the program that calls Serve with Dir. Default: the running
	// program, with "daemon registry --dir DIR". Only for Ensure.
	Executable string
	Args       []string
	// Progress, if set, receives what Ensure is waiting for. Only for Ensure.
	Progress func(what string)
}

// version is the version of the protocol between callers and the background process: the
// registry's protocol, that it listens at the address it reports, that writes require the
// password, and that it collects garbage.
const version = "3"

const process = "registry"

// Process returns the background process that Ensure starts.
func (o Options) Process() background.Process {
	args := o.Args
	if args == nil {
		args = []string{"daemon", "registry", "--dir", o.Dir}
	}
	return background.Process{
		Name: process, Dir: o.Dir, Executable: o.Executable, Args: args, Version: version, Progress: o.Progress,
	}
}

// Ensure returns the running registry, and starts it if it is not running. It does not end
// for idleness until it is released. Its Addr is, for example, "127.0.0.1:23456".
func Ensure(ctx context.Context, o Options) (*background.Attached, error) {
	return o.Process().Ensure(ctx)
}

// Serve runs the registry as a separate process: it returns when it is asked to end, or after
// its idle time. It prints warnings and errors.
func Serve(ctx context.Context, o Options) error {
	// The registry's library always uses this global logger. Serve may configure it, because
	// it owns the process.
	logrus.SetLevel(logrus.WarnLevel)
	logrus.SetFormatter(quiet{&logrus.TextFormatter{DisableColors: true}})
	b := background.Options{Name: process, Dir: o.Dir, Version: version, Idle: o.Idle}
	return background.Serve(ctx, b, func(ctx context.Context, ready func(string) error, activity *background.Activity) (err error) {
		s, err := start(ctx, o, activity)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		if err := ready(s.Addr); err != nil {
			return err
		}
		s.purge(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-s.done:
			return fmt.Errorf("listen on %s: %w", s.Addr, s.err)
		}
	})
}

// quiet suppresses log entries that the library considers errors but that are common: a
// client has checked whether something exists, and it does not.
type quiet struct{ logrus.Formatter }

func (q quiet) Format(e *logrus.Entry) ([]byte, error) {
	switch fmt.Sprint(e.Data["err.code"]) {
	case "manifest unknown", "blob unknown", "name unknown":
		return nil, nil
	}
	return q.Formatter.Format(e)
}
