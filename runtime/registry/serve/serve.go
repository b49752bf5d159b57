// Package serve is the embedded registry, on disk and on loopback.
//
// [Ensure] runs it as a background process of the same binary, which [Serve] is
// the life of. [Start] runs it in the calling process. Its address is chosen once
// and kept, since releases name images by it. It ends when nobody has used it for
// a time, which leaves releases working: nodes keep the images that they run.
//
// Whoever can connect to the loopback address can read. To write takes a password
// that only the user can read whose process it is: see [Password]. The registry of
// Start has none, and is for whoever protects it otherwise. Web pages can do
// neither: requests for other hosts, and those that a browser makes across origins,
// are refused.
package serve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/pipelinefile/pipe/internal/background"
)

// Options say where the registry is.
type Options struct {
	// Dir is the absolute path of its folder: images, address, log.
	Dir string
	// Idle is how long nobody may use it before it ends. Default: 30 minutes;
	// negative: it never ends. Ignored by Start.
	Idle time.Duration
	// Addr is where it listens, on loopback. Default: a port that is chosen once
	// and kept in Dir. Only for Start.
	Addr string
	// Executable and Args start the program that calls Serve with Dir. Default:
	// the running one, with "daemon registry --dir DIR". Only for Ensure.
	Executable string
	Args       []string
	// Progress, if set, is told what Ensure waits for. Only for Ensure.
	Progress func(what string)
}

// The version of what callers and the background process agree on: the
// registry's protocol, that it listens where it says, and that writes take the
// password.
const version = "2"

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

// Ensure returns the live registry, which it starts if there is none. It does not
// end for idleness before it is released. Its Addr is such as "127.0.0.1:23456".
func Ensure(ctx context.Context, o Options) (*background.Attached, error) {
	return o.Process().Ensure(ctx)
}

// Serve is the registry as a process of its own: it returns when it was asked to
// end, or when nobody has used it for a time. It prints warnings and errors.
func Serve(ctx context.Context, o Options) error {
	// The registry's library logs to this one logger, whatever it is told; here
	// it is ours, as the process is.
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

// quiet leaves out what the library takes for errors, and what clients ask all
// the time: whether something is there that is not.
type quiet struct{ logrus.Formatter }

func (q quiet) Format(e *logrus.Entry) ([]byte, error) {
	switch fmt.Sprint(e.Data["err.code"]) {
	case "manifest unknown", "blob unknown", "name unknown":
		return nil, nil
	}
	return q.Formatter.Format(e)
}
