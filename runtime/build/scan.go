package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A ScanSpec says what is scanned, and with what (I14).
type ScanSpec struct {
	Scanner  string    // its image, by digest, from where builders can pull it
	With     plan.Scan // the program and its environment
	Image    string    // by digest
	Platform string    // of Image; empty: that of the builder
	// MaxSize is the size in bytes that the report can have at most.
	MaxSize int
}

// What a scanner finds, and where it writes.
const (
	scanRootFS = "/pipe/rootfs"
	scanReport = "/pipe/report/report.json"
	scanCache  = "/pipe/cache"

	scanTime  = 30 * time.Minute // a scanner that takes longer is stopped
	scanChunk = 1 << 20          // of a report, in a message
)

// scanPlaces are the variables of a scanner.
var scanPlaces = strings.NewReplacer("$(PIPE_ROOTFS)", scanRootFS, "$(PIPE_REPORT)", scanReport, "$(PIPE_CACHE)", scanCache)

// Scan runs a scanner on a builder, in a container with the files of the image, which it cannot
// change, and returns the report that it writes. The report may be anything. If the scanner fails, the
// error is a *[runtime.BuildError].
func (b *Builder) Scan(ctx context.Context, s ScanSpec, emit runtime.Emit) (report []byte, err error) {
	ctx, stop := context.WithTimeoutCause(ctx, scanTime, fmt.Errorf("the scanner: %w after %s", runtime.ErrTimeout, scanTime))
	defer stop()
	name, _, _ := plan.CutImage(s.Image)
	_, err = b.retry(ctx, "scan "+name, s.Image, emit, func(n *node) (_ plan.Digest, err error) {
		report, err = b.scan(ctx, n, s, emit)
		return "", err
	})
	return report, err
}

// scan is Scan on one node, once.
func (b *Builder) scan(ctx context.Context, n *node, s ScanSpec, emit runtime.Emit) (report []byte, err error) {
	ctx, a, err := n.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer a.end()
	opt := client.SolveOpt{Internal: true}
	if opt.Session, err = b.attachables(job{}); err != nil {
		return nil, err
	}
	p := newProgress(emit, func(text string) string { return text })
	err = a.follow(ctx, p, func(ctx context.Context, status chan *client.SolveStatus) error {
		var inner error // BuildKit passes on its text only
		_, err := a.Build(ctx, opt, "", func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
			made, err := b.scanner(ctx, gw, s, n.limits(b.opts.Limits))
			if err == nil {
				report, err = readReport(ctx, made, s.MaxSize)
			}
			inner = err
			return gateway.NewResult(), err
		}, status)
		if inner != nil {
			return inner
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, s.explain(err, p)
	}
	return report, nil
}

// scanner runs the scanner, and returns the directory of its report.
func (b *Builder) scanner(ctx context.Context, gw gateway.Client, s ScanSpec, limits Limits) (gateway.Reference, error) {
	_, _, config, err := gw.ResolveImageConfig(ctx, s.Scanner, sourceresolver.Opt{ImageOpt: &sourceresolver.ResolveImageOpt{}})
	if err != nil {
		return nil, err
	}
	tool, err := llb.Image(s.Scanner, llb.WithCustomName("[scan] "+s.Scanner)).WithImageConfig(config)
	if err != nil {
		return nil, err
	}
	image := []llb.ImageOption{llb.WithCustomName("[scan] " + s.Image)}
	if s.Platform != "" {
		p, err := platforms.Parse(s.Platform)
		if err != nil {
			return nil, err
		}
		image = append(image, llb.Platform(p))
	}
	args := make([]string, len(s.With.Command))
	cached := false
	for i, arg := range s.With.Command {
		args[i] = scanPlaces.Replace(arg)
		cached = cached || strings.Contains(arg, "$(PIPE_CACHE)")
	}
	options := []llb.RunOption{
		llb.Args(args), llb.User("0:0"), // all files of the image can be read
		llb.AddEnv("PIPE_ROOTFS", scanRootFS), llb.AddEnv("PIPE_REPORT", scanReport), llb.AddEnv("PIPE_CACHE", scanCache),
		llb.AddMount(scanRootFS, llb.Image(s.Image, image...), llb.Readonly),
		llb.WithCustomName("[scan] " + strings.Join(s.With.Command, " ")),
		// Vulnerabilities become known later: no result of before is used, also not that of an equal
		// scan which another process has just begun. llb.IgnoreCache would empty $(PIPE_CACHE).
		llb.AddEnv("PIPE_SCAN", time.Now().UTC().Format(time.RFC3339Nano)),
	}
	for _, name := range slices.Sorted(maps.Keys(s.With.Env)) {
		value := s.With.Env[name]
		cached = cached || strings.Contains(value, "$(PIPE_CACHE)")
		options = append(options, llb.AddEnv(name, scanPlaces.Replace(value)))
	}
	if cached {
		// One scanner at a time: databases are not made for several programs.
		options = append(options, llb.AddMount(scanCache, llb.Scratch(), llb.AsPersistentCacheDir("pipe-scan-"+string(s.With.Key()), llb.CacheMountLocked)))
	}
	caps := gw.BuildOpts().LLBCaps
	if (&caps).Supports(pb.CapExecMetaLinuxResources) == nil {
		options = append(options, llb.WithLinuxResources(limits.resources()))
	}
	out := tool.Run(options...).AddMount("/pipe/report", llb.Scratch())
	def, err := out.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	result, err := gw.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	if err != nil {
		return nil, err
	}
	return result.SingleRef()
}

// A reportError says what is wrong with the report of a scanner that has ended without an error.
type reportError struct{ text string }

func (e *reportError) Error() string { return e.text }

// readReport reads the report from the directory that a scanner has written it to.
func readReport(ctx context.Context, dir gateway.Reference, maxSize int) ([]byte, error) {
	const name = "report.json"
	all, err := dir.ReadDir(ctx, gateway.ReadDirRequest{Path: "/", IncludePattern: name})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(f *fstypes.Stat) bool { return f.GetPath() == name })
	switch {
	case i < 0:
		return nil, &reportError{"the scanner has written no report to $(PIPE_REPORT)"}
	case !fs.FileMode(all[i].GetMode()).IsRegular():
		return nil, &reportError{"what the scanner has written to $(PIPE_REPORT) is not a file"}
	case all[i].GetSize() > int64(maxSize):
		return nil, &reportError{fmt.Sprintf("the report of the scanner has %d MiB, at most %d are read", all[i].GetSize()>>20, maxSize>>20)}
	}
	var report []byte
	for size := int(all[i].GetSize()); len(report) < size; {
		part, err := dir.ReadFile(ctx, gateway.ReadRequest{Filename: name, Range: &gateway.FileRange{Offset: len(report), Length: min(scanChunk, size-len(report))}})
		if err != nil {
			return nil, err
		}
		if len(part) == 0 {
			return nil, &reportError{"the report of the scanner became shorter while it was read"}
		}
		report = append(report, part...)
	}
	return report, nil
}

// explain turns an error of BuildKit into one that says what is wrong with the scan.
func (s ScanSpec) explain(err error, p *progress) error {
	failed := &runtime.BuildError{Step: strings.Join(s.With.Command, " "), Pos: s.With.Pos, Log: p.logOf(err)}
	var gone *UnreachableError
	var exit *gatewaypb.ExitError
	var wrong *reportError
	switch {
	case errors.As(err, &gone):
		return err
	case errors.As(err, &exit):
		failed.Err = &cause{exitText(exit, failed.Log), err}
		return runtime.Advise(failed, runtime.Advice{Do: "correct command= of scan(); the scanner must exit with 0 whatever it finds, because max= decides about that"})
	case errors.As(err, &wrong):
		failed.Err = wrong
		return runtime.Advise(failed, runtime.Advice{Do: "pass $(PIPE_REPORT) to the scanner as the file of its report"})
	}
	text := plain(err).Error()
	if transient(err) {
		return &cause{text, err}
	}
	failed.Err = &cause{text, err}
	return failed
}
