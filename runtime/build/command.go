package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/pipelinefile/pipe/internal/filelock"
	"github.com/pipelinefile/pipe/internal/procgroup"
	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// outputName is the name of the image in the temporary directory of a command.
const outputName = "image"

// scratchPrefix is what the names of temporary directories begin with.
const scratchPrefix = "pipe-build-"

// byProgram has programs of this machine make the image of spec, and pushes it. Nothing runs them for
// another purpose, and only [Builder.Build] calls it.
func (b *Builder) byProgram(ctx context.Context, spec plan.BuildSpec, src *source, ref string, emit runtime.Emit) (plan.Digest, error) {
	k := b.making(spec, src)
	b.sweep.Do(func() { filelock.RemoveDead("", scratchPrefix) })
	scratch, release, err := filelock.TempDir("", scratchPrefix)
	if err != nil {
		return "", err
	}
	defer release() //nolint:errcheck // what cannot be removed now, the next process removes
	top := b.opts.Dir
	if src.commit != "" {
		if top, err = ownCopy(spec, src, scratch); err != nil {
			return "", err
		}
	}
	dir, err := below(top, spec.Source.Path)
	if err != nil {
		return "", problem(spec, err, "")
	}
	// The runtime redacts the secrets that it knows; a program may print URLs with passwords of its own.
	progress := newProgress(emit, redact.URLs)
	r := &programs{builder: b, spec: spec, src: src, top: top, dir: dir, scratch: scratch, platforms: src.platforms(spec), progress: progress}
	var image remote.Taggable
	if spec.Go != nil {
		image, err = r.goImage(ctx)
	} else {
		image, err = r.written(ctx)
	}
	if err == nil && src.commit == "" {
		err = b.unchanged(ctx, spec, src)
	}
	if err != nil {
		return "", err
	}
	made, err := b.pushMade(ctx, r, image, k, r.made, ref, emit)
	if err == nil && spec.Go != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.used[ref] = basesOf(spec, plan.GoBase)
	}
	return made, err
}

// ownCopy copies the checkout of a git source, which others use, too, so that a program may write to
// it. Links stay links.
func ownCopy(spec plan.BuildSpec, src *source, scratch string) (top string, err error) {
	top = filepath.Join(scratch, "source")
	err = os.CopyFS(top, os.DirFS(src.top))
	if err == nil {
		return top, nil
	}
	err = problem(spec, fmt.Errorf("copy the files%s: %w", src.where, err), "")
	if errors.Is(err, syscall.ENOSPC) {
		return "", roomFor(err)
	}
	return "", err
}

// roomFor adds to an error that the disk of temporary files is full what to do.
func roomFor(err error) error {
	return runtime.Advise(err, runtime.Advice{Do: "make room on the disk of " + os.TempDir() + ", or name another directory with TMPDIR, and run again"})
}

// unchanged returns an error if what an image depends on has changed while it was made: it would
// then be stored under an identity that is not its own.
func (b *Builder) unchanged(ctx context.Context, spec plan.BuildSpec, src *source) error {
	now, err := b.open(ctx, spec, opening{})
	if err != nil || now.identity == src.identity {
		return err
	}
	what := "a file"
	for i := range now.tree.entries {
		e := &now.tree.entries[i]
		if was := src.tree.find(e.path); was == nil || was.mode != e.mode || was.sum != e.sum || was.link != e.link {
			what = e.path
			break
		}
	}
	return problem(spec, fmt.Errorf("%s changed while the program ran, and the image depends on it: %w", what, runtime.ErrConflict),
		"run again; if the program writes it, leave it out with inputs= or in .dockerignore")
}

// programs are the runs of programs for one build.
type programs struct {
	builder   *Builder
	spec      plan.BuildSpec
	src       *source
	top       string // contains the source: the workspace, or a copy of a git repository
	dir       string // of the source
	scratch   string // a temporary directory
	platforms []string
	progress  *progress
	name      string      // of the last program
	tail      []string    // the last lines of its output
	made      []madeImage // the images of a Go program, by platform
}

// A process is one run of a program.
type process struct {
	name   string // as it is shown
	args   []string
	env    []string
	dir    string
	stdout io.Writer // nil: it is reported, as standard error is
}

// wrong returns err as an error of the last program.
func (r *programs) wrong(err error) error {
	what := "the command at " + r.spec.Pos.String() + ", or what it runs,"
	if r.spec.Go != nil {
		what = "the program, or go_image() at " + r.spec.Pos.String() + ","
	}
	return runtime.Advise(&runtime.BuildError{Step: r.name, Pos: r.spec.Pos, Log: r.tail, Err: err},
		runtime.Advice{Do: "correct " + what + " and run again"})
}

// clip returns the words of a command as they are shown.
func clip(args []string) string {
	const long = 200
	text := strings.Join(strings.Fields(strings.Join(args, " ")), " ")
	if runes := []rune(text); len(runes) > long {
		text = string(runes[:long]) + "…"
	}
	return text
}

// step reports what do does as a step of the build.
func (r *programs) step(name string, do func(id digest.Digest) error) error {
	id := digest.FromString(name)
	began := time.Now()
	r.progress.vertex(&client.Vertex{Digest: id, Name: name, Started: &began})
	err := do(id)
	ended := time.Now()
	v := &client.Vertex{Digest: id, Name: name, Started: &began, Completed: &ended}
	if err != nil {
		v.Error = err.Error()
	}
	s := r.progress.step(id)
	r.progress.flush(s)
	r.progress.vertex(v)
	r.progress.end(s)
	r.tail = s.tail
	return err
}

// run runs a program until it and all processes of its group have ended.
func (r *programs) run(ctx context.Context, p process) error {
	r.name = r.progress.hide(p.name)
	err := r.step(p.name, func(id digest.Digest) error { return r.once(ctx, p, id) })
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return r.wrong(err)
	}
	return nil
}

func (r *programs) once(ctx context.Context, p process, id digest.Digest) error {
	file, err := findProgram(p.args[0], p.dir, p.env)
	if err != nil {
		return err
	}
	cmd := &exec.Cmd{Path: file, Args: p.args, Env: p.env, Dir: p.dir, Stdout: p.stdout, WaitDelay: grace}
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	if cmd.Stderr = in; cmd.Stdout == nil {
		cmd.Stdout = in
	}
	group, err := procgroup.New()
	if err != nil {
		in.Close()
		return err
	}
	defer group.Kill()
	err = group.Start(cmd)
	in.Close()
	if err != nil {
		return notStarted(p.args[0], err)
	}
	ended := make(chan struct{})
	stopped := context.AfterFunc(ctx, func() {
		group.Ask()
		select {
		case <-ended:
		case <-time.After(grace):
			group.Kill()
		}
	})
	defer stopped()
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		buf := make([]byte, 32<<10)
		for {
			n, err := out.Read(buf)
			r.progress.log(&client.VertexLog{Vertex: id, Data: buf[:n]})
			if err != nil {
				return
			}
		}
	}()
	err = cmd.Wait()
	close(ended)
	group.Kill() // what it has left behind, which may hold its output open
	select {
	case <-reported:
	case <-time.After(grace): // a process that has left the group holds it open
		out.Close()
		<-reported
	}
	return err
}

// grace is how long a command that was asked to end may take.
const grace = 3 * time.Second

// environ returns the environment of a program.
func (r *programs) environ(declared map[string]string, more ...string) []string {
	env := slices.Clone(r.builder.opts.Environ)
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		env = append(env, name+"="+declared[name])
	}
	return append(env, more...)
}

// command returns the process of the command of the build.
func (r *programs) command() process {
	c := r.spec.Command
	output, platforms := filepath.Join(r.scratch, outputName), strings.Join(r.platforms, ",")
	expand := strings.NewReplacer("$("+plan.OutputVariable+")", output, "$("+plan.PlatformsVariable+")", platforms)
	args := make([]string, len(c.Args))
	for i, arg := range c.Args {
		args[i] = expand.Replace(arg)
	}
	return process{
		name: clip(c.Args), args: args, dir: r.dir,
		env: r.environ(c.Env, plan.OutputVariable+"="+output, plan.PlatformsVariable+"="+platforms),
	}
}

// notStarted returns the error for a file that exists and may be executed, but that the system
// could not start.
func notStarted(name string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%s is not a program for this machine: the first line of a script names its interpreter, as #!/bin/sh does", name)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the interpreter of %s does not exist: install it, or correct the first line of the script", name)
	}
	return err
}

// findProgram finds the program with a name: a path is relative to dir, and other names are looked
// up in the PATH of env.
func findProgram(name, dir string, env []string) (string, error) {
	if strings.ContainsAny(name, `/\`) {
		file := filepath.FromSlash(name)
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		_, err := exec.LookPath(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("there is no file %s", name)
		case err != nil:
			return "", fmt.Errorf("%s cannot be executed: make it executable with chmod +x", name)
		}
		return file, nil
	}
	dirs := ""
	for _, v := range env {
		if value, ok := strings.CutPrefix(v, "PATH="); ok {
			dirs = value
		}
	}
	for _, dir := range filepath.SplitList(dirs) {
		if !filepath.IsAbs(dir) {
			continue // it depends on the working directory
		}
		if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("the program %s is not in the PATH, %s: install it", name, dirs)
}
