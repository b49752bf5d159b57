package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/watch"
)

// errQuit ends watch mode because the user quit, which is not a failure.
var errQuit = errors.New("quit")

// A deployed is the last or current deploy of watch mode.
type deployed struct {
	evaluation
	rt  *local.Runtime
	key runtime.EnvironmentKey
}

// open opens the view of watch mode. It uses the whole screen of a terminal,
// unless another program writes to it: results on standard output, or the
// shell, if pipe is in the background. Keys are read if standard input is the
// terminal, too.
func (w *watcher) open(ctx context.Context) error {
	mode, err := w.app.mode(w.cmd, w.show)
	if err != nil {
		return err
	}
	screen, _ := ui.Raw(w.app.stderr).(*os.File)
	if ui.Mode(w.show.progress) == ui.Auto && mode == ui.TTY && (w.show.output != "text" || screen != nil && !ui.Foreground(screen)) {
		mode = ui.Plain
	}
	opts := ui.Options{Mode: mode, Watch: true}
	w.mode, w.live = mode, mode == ui.TTY
	if in, ok := w.app.stdin.(*os.File); ok && w.live && w.app.typed != nil && w.app.typed() {
		w.keys = true
		opts.Keys = w.pressed(ctx, in)
	}
	w.view = w.app.begins(opts)
	return nil
}

// pressed returns the actions of keys.
func (w *watcher) pressed(ctx context.Context, in *os.File) ui.Keys {
	send := func(do watch.Order, service string) {
		select {
		case w.commands <- watch.Command{Do: do, Service: service}:
		default: // not accepted now
		}
	}
	return ui.Keys{
		In:        in,
		Again:     func() { send(watch.Again, "") },
		Pause:     func() { send(watch.Pause, "") },
		Resume:    func() { send(watch.Resume, "") },
		Restart:   func(service string) { send(watch.Restart, service) },
		Interrupt: func() { w.app.raise(os.Interrupt) },
		Quit: func() {
			w.view.Note("quitting after current writes")
			w.quit(errQuit)
		},
		Open: func(url string) { go w.browse(ctx, url) },
		Diff: w.diff,
	}
}

// browse opens a URL, and reports it.
func (w *watcher) browse(ctx context.Context, url string) {
	if err := w.app.browse(ctx, url); err != nil {
		w.view.Note(fmt.Sprintf("open %s yourself: %v", url, err))
		return
	}
	w.view.Note("opened " + url)
}

// diff returns what a run would change in the cluster, formatted for people.
func (w *watcher) diff(ctx context.Context) (string, error) {
	now := w.now.Load()
	if now == nil {
		return "", errors.New("nothing is deployed yet")
	}
	env, err := existing(ctx, now.rt, now.key)
	if err != nil {
		return "", err
	}
	d, err := w.compare(ctx, now.rt, env, now.evaluation)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := ui.Diff(&b, d); err != nil {
		return "", err
	}
	return b.String(), nil
}
