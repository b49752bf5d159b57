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
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// outputName is the name of the image in the temporary directory of a command.
const outputName = "image"

// byCommand runs the command of spec, and pushes the image that it writes. It never runs the
// command for another purpose, and only [Builder.Build] calls it.
func (b *Builder) byCommand(ctx context.Context, spec plan.BuildSpec, src *source, ref string, emit runtime.Emit) (plan.Digest, error) {
	dir, err := below(b.opts.Dir, spec.Source.Path)
	if err != nil {
		return "", problem(spec, err, "")
	}
	scratch, err := os.MkdirTemp("", "pipe-build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	r := &commandRun{builder: b, spec: spec, dir: dir, output: filepath.Join(scratch, outputName), platforms: src.platforms(spec), progress: newProgress(emit, hider(nil))}
	if err := r.run(ctx); err != nil {
		return "", err
	}
	if err := b.unchanged(ctx, spec, src); err != nil {
		return "", err
	}
	root, name, shown := r.place(scratch)
	top, err := os.OpenRoot(root)
	if err != nil {
		return "", err
	}
	defer top.Close() //nolint:errcheck // it was only read
	image, err := r.image(top, name, shown, scratch)
	if err != nil {
		return "", err
	}
	var made plan.Digest
	err = r.step("push the image", func(digest.Digest) error {
		made, err = b.opts.Push(ctx, ref, image, emit)
		return err
	})
	return made, err
}

// unchanged returns an error if the inputs of a command have changed while it ran: the image would
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
	return problem(spec, fmt.Errorf("%s changed while the command ran, and the image depends on it: %w", what, runtime.ErrConflict),
		"run again; if the command writes it, leave it out with inputs= or in .dockerignore")
}

// A commandRun is one run of the command of a build.
type commandRun struct {
	builder   *Builder
	spec      plan.BuildSpec
	dir       string // of the source, where it runs
	output    string // the value of PIPE_OUTPUT
	platforms []string
	progress  *progress
	tail      []string // the last lines of its output
}

// wrong returns err as an error of the command.
func (r *commandRun) wrong(err error) error {
	return runtime.Advise(&runtime.BuildError{Step: r.shown(), Pos: r.spec.Pos, Log: r.tail, Err: err},
		runtime.Advice{Do: "correct the command at " + r.spec.Pos.String() + ", or what it runs, and run again"})
}

// shown returns the command as it is shown.
func (r *commandRun) shown() string {
	const long = 200
	text := strings.Join(strings.Fields(strings.Join(r.spec.Command.Args, " ")), " ")
	if runes := []rune(text); len(runes) > long {
		text = string(runes[:long]) + "…"
	}
	return text
}

// step reports what do does as a step of the build.
func (r *commandRun) step(name string, do func(id digest.Digest) error) error {
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

// run runs the command until it and all processes of its group have ended.
func (r *commandRun) run(ctx context.Context) error {
	err := r.step(r.shown(), func(id digest.Digest) error { return r.once(ctx, id) })
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return r.wrong(err)
	}
	return nil
}

func (r *commandRun) once(ctx context.Context, id digest.Digest) error {
	cmd, err := r.command()
	if err != nil {
		return err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = in, in
	together, err := newGroup(r.builder.opts.Executable)
	if err != nil {
		in.Close()
		return err
	}
	defer together.kill()
	together.add(cmd)
	err = cmd.Start()
	in.Close()
	if err != nil {
		return err
	}
	together.started(cmd)
	ended := make(chan struct{})
	stopped := context.AfterFunc(ctx, func() {
		together.ask()
		select {
		case <-ended:
		case <-time.After(grace):
			together.kill()
		}
	})
	defer stopped()
	told := make(chan struct{})
	go func() {
		defer close(told)
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
	together.kill() // what it has left behind, which may hold its output open
	select {
	case <-told:
	case <-time.After(grace): // a process that has left the group holds it open
		out.Close()
		<-told
	}
	return err
}

// grace is how long a command that was asked to end may take.
const grace = 3 * time.Second

// command returns the command to run.
func (r *commandRun) command() (*exec.Cmd, error) {
	c := r.spec.Command
	platforms := strings.Join(r.platforms, ",")
	expand := strings.NewReplacer("$("+plan.OutputVariable+")", r.output, "$("+plan.PlatformsVariable+")", platforms)
	args := make([]string, len(c.Args))
	for i, arg := range c.Args {
		args[i] = expand.Replace(arg)
	}
	env := slices.Clone(r.builder.opts.Environ)
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		env = append(env, name+"="+c.Env[name])
	}
	env = append(env, plan.OutputVariable+"="+r.output, plan.PlatformsVariable+"="+platforms)
	program, err := r.program(args[0], env)
	if err != nil {
		return nil, err
	}
	return &exec.Cmd{Path: program, Args: args, Env: env, Dir: r.dir}, nil
}

// program finds the program with a name: a path is relative to the source, and other names are
// looked up in the PATH of the command.
func (r *commandRun) program(name string, env []string) (string, error) {
	if strings.ContainsAny(name, `/\`) {
		file := filepath.FromSlash(name)
		if !filepath.IsAbs(file) {
			file = filepath.Join(r.dir, file)
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

// Guard is the main function of a process that leads the process group of a command: when stdin
// ends, because the process that builds is gone, it kills the group.
func Guard(stdin io.Reader) error {
	_, err := io.Copy(io.Discard, stdin)
	return errors.Join(err, killOwnGroup())
}

// GuardArgs are the arguments with which [Options.Executable] runs Guard.
func GuardArgs() []string { return []string{"daemon", "guard"} }
