package reach_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/reach"
)

// A disk simulates the files of containers: /app of each container is a directory here.
type disk struct {
	t    *testing.T
	root string

	mu     sync.Mutex
	runs   []string // commands other than those that copy files
	fail   map[string]error
	layers [][]byte // added to the image "main"; the resulting images are "main-1", "main-2"
}

// layer adds a layer to an image.
func (d *disk) layer(_ context.Context, image string, write func(io.Writer) error) (string, error) {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fail["layer"]; err != nil {
		return "", err
	}
	d.layers = append(d.layers, b.Bytes())
	return fmt.Sprintf("%s-%d", image, len(d.layers)), nil
}

// restarts does what a node does when a pod gets the image of that layer, or when its
// container has crashed: the container starts with the files of its image.
func (d *disk) restarts(n *node, pod string, layer int, id string) {
	d.t.Helper()
	want := fmt.Sprintf("main-%d", layer)
	w, err := n.client.CoreV1().Pods(n.namespace).Watch(d.t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + pod})
	must(d.t, err)
	defer w.Stop()
	for e := range w.ResultChan() { // the watch starts with the existing pods
		if p, ok := e.Object.(*corev1.Pod); ok && p.Spec.Containers[0].Image == want {
			break
		}
	}
	must(d.t, os.RemoveAll(d.dir(pod)))
	d.mu.Lock()
	content := tar.NewReader(bytes.NewReader(d.layers[layer-1]))
	d.mu.Unlock()
	for {
		h, err := content.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(d.t, err)
		data, err := io.ReadAll(content)
		must(d.t, err)
		file := filepath.Join(d.dir(pod), h.Name)
		must(d.t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(d.t, os.WriteFile(file, data, h.FileInfo().Mode()))
	}
	n.status(pod, corev1.PodStatus{
		Phase:      corev1.PodRunning,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{
			{Name: "main", Ready: true, ContainerID: "test://" + id, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
		},
	})
}

// run runs a command in a container: paths below /app are mapped to its directory here.
func (d *disk) run(p *process) error {
	d.mu.Lock()
	err := d.fail[p.Args[0]]
	d.mu.Unlock()
	if err != nil {
		return err
	}
	root := d.dir(p.Pod)
	switch p.Args[0] {
	case "tar":
		p.Args[slices.Index(p.Args, "-C")+1] = root
	case "sh":
		script, err := io.ReadAll(p.Stdin)
		if err != nil {
			return err
		}
		p.Stdin = strings.NewReader(strings.ReplaceAll(string(script), "'/app", "'"+root+"/app"))
	default:
		d.mu.Lock()
		defer d.mu.Unlock()
		d.runs = append(d.runs, p.Pod+": "+strings.Join(p.Args, " "))
		return nil
	}
	return runsHere(p)
}

// dir returns the directory of a container.
func (d *disk) dir(pod string) string {
	dir := filepath.Join(d.root, pod)
	must(d.t, os.MkdirAll(dir, 0o755))
	return dir
}

// has returns the files of a container, with their modes and contents.
func (d *disk) has(pod string) map[string]string {
	found := make(map[string]string)
	must(d.t, filepath.WalkDir(d.dir(pod), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		found[strings.TrimPrefix(path, d.dir(pod))] = fmt.Sprintf("%o %s", info.Mode().Perm(), data)
		return err
	}))
	return found
}

// wants checks the files of a container.
func (d *disk) wants(pod string, want map[string]string) {
	d.t.Helper()
	if diff := cmp.Diff(want, d.has(pod)); diff != "" {
		d.t.Errorf("files of %s (-want +got):\n%s", pod, diff)
	}
}

// newSync creates a ready pod web-1 whose image is "main", and a syncer.
func newSync(t *testing.T) (*node, *disk, *reach.Syncer, <-chan reach.SyncEvent) {
	t.Helper()
	n := newNode(t)
	d := &disk{t: t, root: t.TempDir(), fail: make(map[string]error)}
	n.set(func(n *node) { n.run = d.run })
	n.pod("web", "web-1")
	n.is("web-1", true)
	events := make(chan reach.SyncEvent, 100)
	ns := n.reach()
	known := ns.Forwarder(reach.ForwardOptions{})
	must(t, known.Known(t.Context()))
	known.Close()
	s := ns.Syncer(reach.SyncOptions{Report: func(e reach.SyncEvent) { events <- e }, Layer: d.layer})
	t.Cleanup(s.Close)
	s.Set("web", "main")
	return n, d, s, events
}

func next(t *testing.T, events <-chan reach.SyncEvent) reach.SyncEvent {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(waitTime):
		t.Fatal("nothing was synced")
		return reach.SyncEvent{}
	}
}

// update applies changes to the service web.
func update(t *testing.T, s *reach.Syncer, changes []runtime.SyncChange, run [][]string) error {
	t.Helper()
	return s.Update(t.Context(), "web", runtime.SyncUpdate{Changes: changes, Run: run})
}

// source writes a local file and returns it as a change.
func source(t *testing.T, dir, name, text string, mode fs.FileMode) runtime.SyncChange {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte(text), mode))
	must(t, os.Chmod(file, mode))
	return runtime.SyncChange{Path: file, To: "/app/" + name}
}

// TestSync: files arrive with their modes, files are deleted and renamed, and nothing else is
// left in the container.
func TestSync(t *testing.T) {
	t.Parallel()
	_, d, s, events := newSync(t)
	dir := t.TempDir()
	odd := "it's a \"name\" $HOME\n*.js"
	must(t, update(t, s, []runtime.SyncChange{
		source(t, dir, "a.js", "one", 0o644), source(t, dir, "bin/run", "#!", 0o755), source(t, dir, odd, "odd", 0o600),
	}, nil))
	e := next(t, events)
	if e.Err != nil || e.Place.String() != "container main of pod web-1" || e.Files != 3 || e.Removed != 0 || e.Bytes != 8 {
		t.Errorf("it is told %+v", e)
	}
	d.wants("web-1", map[string]string{"/app/a.js": "644 one", "/app/bin/run": "755 #!", "/app/" + odd: "600 odd"})

	// a rename, a file that becomes a directory, a directory that becomes a file, one that is
	// deleted before it is copied
	gone := func(name string) runtime.SyncChange {
		c := runtime.SyncChange{Path: filepath.Join(dir, name), To: "/app/" + name}
		must(t, os.RemoveAll(c.Path))
		return c
	}
	aJS, bin, run, oddFile := gone("a.js"), gone("bin/run"), gone("bin"), gone(odd)
	must(t, update(t, s, []runtime.SyncChange{
		aJS, source(t, dir, "b.js", "one", 0o644), gone("gone"),
		oddFile, source(t, dir, odd+"/below", "deep", 0o644),
		bin, run, source(t, dir, "bin", "a file", 0o644),
	}, nil))
	d.wants("web-1", map[string]string{"/app/b.js": "644 one", "/app/" + odd + "/below": "644 deep", "/app/bin": "644 a file"})
}

// TestSyncNewContainer: a new container, or one that restarts with the files of its image,
// gets all changes and commands since the image was built. A container with another image
// gets nothing.
func TestSyncNewContainer(t *testing.T) {
	t.Parallel()
	n, d, s, events := newSync(t)
	dir := t.TempDir()
	install := []string{"npm", "install"}
	must(t, update(t, s, []runtime.SyncChange{source(t, dir, "a.js", "one", 0o644), source(t, dir, "package.json", "{}", 0o644)}, [][]string{install}))
	must(t, update(t, s, []runtime.SyncChange{source(t, dir, "a.js", "two", 0o644)}, nil))
	if first, second := next(t, events), next(t, events); first.Files != 2 || second.Files != 1 {
		t.Errorf("%d and %d files were copied, want 2 and 1", first.Files, second.Files)
	}
	want := map[string]string{"/app/a.js": "644 two", "/app/package.json": "644 {}"}
	d.wants("web-1", want)

	n.pod("web", "web-2") // an additional replica
	if e := next(t, events); e.Place.Pod != "web-2" || e.Files != 2 || e.Err != nil {
		t.Errorf("it is told %+v", e)
	}
	d.wants("web-2", want)

	must(t, os.RemoveAll(d.dir("web-1"))) // a crash
	n.status("web-1", corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
		{Name: "main", ContainerID: "test://again", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
	}})
	if e := next(t, events); e.Place.Pod != "web-1" || e.Files != 2 || e.Err != nil {
		t.Errorf("it is told %+v", e)
	}
	d.wants("web-1", want)
	if !s.Synced("web") {
		t.Error("the service is not synced")
	}
	if diff := cmp.Diff([]string{"web-1: npm install", "web-2: npm install", "web-1: npm install"}, d.runs); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}

	s.Set("web", "other")
	if err := update(t, s, []runtime.SyncChange{source(t, dir, "a.js", "three", 0o644)}, nil); !errors.Is(err, runtime.ErrNoSync) {
		t.Errorf("containers of another image: %v, want %v", err, runtime.ErrNoSync)
	}
	d.wants("web-1", want)
}

// TestSyncLinks: a symbolic link is copied as a link, even if its target is outside of the
// workspace. The target is not copied.
func TestSyncLinks(t *testing.T) {
	t.Parallel()
	_, d, s, events := newSync(t)
	dir := t.TempDir()
	link := func(name, target string) runtime.SyncChange {
		c := runtime.SyncChange{Path: filepath.Join(dir, name), To: "/app/" + name}
		must(t, os.Symlink(target, c.Path))
		return c
	}
	must(t, update(t, s, []runtime.SyncChange{link("secret", "/etc/shadow"), source(t, dir, "real/x", "x", 0o644), link("dir", "real"), link("gone", "nowhere")}, nil))
	for name, want := range map[string]string{"secret": "/etc/shadow", "dir": "real", "gone": "nowhere"} {
		if got, err := os.Readlink(filepath.Join(d.dir("web-1"), "app", name)); got != want {
			t.Errorf("%s leads to %q (%v), want %q", name, got, err, want)
		}
	}
	if e := next(t, events); e.Err != nil || e.Files != 4 || e.Bytes != 1 {
		t.Errorf("it is told %+v", e)
	}
	// a file replaces a link to a directory, and there is an empty directory
	must(t, os.Remove(filepath.Join(dir, "dir")))
	must(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	must(t, update(t, s, []runtime.SyncChange{source(t, dir, "dir", "a file", 0o644), {Path: filepath.Join(dir, "empty"), To: "/app/empty"}}, nil))
	if got, err := os.ReadFile(filepath.Join(d.dir("web-1"), "app", "dir")); string(got) != "a file" {
		t.Errorf("a file in place of a link: %q, %v", got, err)
	}
	if info, err := os.Stat(filepath.Join(d.dir("web-1"), "app", "empty")); err != nil || !info.IsDir() {
		t.Errorf("an empty directory: %v, %v", info, err)
	}
	if got, err := os.ReadFile(filepath.Join(d.dir("web-1"), "app", "real", "x")); string(got) != "x" {
		t.Errorf("what the link led to: %q, %v", got, err)
	}
}

// TestSyncBeforeReady: forwards do not use a new container until it has all changes. An
// existing container is used in the meantime.
func TestSyncBeforeReady(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	d := &disk{t: t, root: t.TempDir(), fail: make(map[string]error)}
	blocked, unblock := make(chan struct{}), make(chan struct{})
	begun := sync.OnceFunc(func() { close(blocked) })
	n.set(func(n *node) {
		n.run = func(p *process) error {
			if p.Pod == "web-2" && p.Args[0] == "tar" {
				begun()
				<-unblock
			}
			return d.run(p)
		}
	})
	n.serves("web", "web-1")
	ns := n.reach()
	states := make(chan reach.Forward, 100)
	f := ns.Forwarder(reach.ForwardOptions{Report: func(fw reach.Forward) { states <- fw }})
	t.Cleanup(f.Close)
	must(t, f.Known(t.Context()))
	_, err := f.Set([]reach.Target{{Service: "web", Port: 8080}})
	must(t, err)
	until := func(what string, want func(reach.Forward) bool) {
		t.Helper()
		for {
			select {
			case fw := <-states:
				if want(fw) {
					return
				}
			case <-time.After(waitTime):
				t.Fatalf("the forward is never %s", what)
			}
		}
	}
	until("at web-1", func(fw reach.Forward) bool { return fw.State == reach.Listening && fw.Pod == "web-1" })
	s := ns.Syncer(reach.SyncOptions{})
	t.Cleanup(s.Close)
	s.Set("web", "main")
	dir := t.TempDir()
	must(t, update(t, s, []runtime.SyncChange{source(t, dir, "a.js", "one", 0o644)}, nil))

	n.serves("web", "web-2") // newer, so it would be preferred
	<-blocked
	n.gone("web-1")
	until("waiting for web-2", func(fw reach.Forward) bool {
		return fw.State == reach.Waiting && strings.Contains(fw.Err.Error(), "web-2 (getting the changed files)")
	})
	close(unblock)
	until("at web-2", func(fw reach.Forward) bool { return fw.State == reach.Listening && fw.Pod == "web-2" })
	d.wants("web-2", map[string]string{"/app/a.js": "644 one"})
	for { // connections do not wait while another change is copied
		select {
		case <-states:
			continue
		default:
		}
		break
	}
	must(t, update(t, s, []runtime.SyncChange{source(t, dir, "b.js", "two", 0o644)}, nil))
	select {
	case fw := <-states:
		t.Errorf("while files were copied the forward was %+v", fw)
	default:
	}
}

// TestSyncRestart: a container is restarted with an image that includes the changes, so its
// program starts with them; the commands run in it afterwards. Later changes are copied, and
// a new pod is restarted in the same way.
func TestSyncRestart(t *testing.T) {
	t.Parallel()
	n, d, s, events := newSync(t)
	dir := t.TempDir()
	removed := runtime.SyncChange{Path: filepath.Join(dir, "old.js"), To: "/app/old.js"}
	must(t, update(t, s, []runtime.SyncChange{source(t, dir, "a.js", "one", 0o644)}, nil))
	next(t, events)
	must(t, s.Update(t.Context(), "web", runtime.SyncUpdate{
		Changes: []runtime.SyncChange{source(t, dir, "b.js", "two", 0o640), removed}, Run: [][]string{{"warm", "up"}}, Restart: true,
	}))
	if s.Synced("web") {
		t.Error("the service counts as synced while its container is restarted")
	}
	d.wants("web-1", map[string]string{"/app/a.js": "644 one"}) // unchanged until its end
	d.restarts(n, "web-1", 1, "second")
	if e := next(t, events); e.Err != nil || !e.Restart || e.Files != 2 || e.Removed != 1 || e.Place.Pod != "web-1" {
		t.Errorf("it is told %+v", e)
	}
	first := map[string]string{"/app/a.js": "644 one", "/app/b.js": "640 two", "/app/.wh.old.js": "600 "}
	d.wants("web-1", first)
	if !s.Synced("web") {
		t.Error("the service does not count as synced")
	}

	// Later changes are copied, also after a crash, with the commands.
	must(t, update(t, s, []runtime.SyncChange{source(t, dir, "c.js", "three", 0o644)}, nil))
	if e := next(t, events); e.Restart || e.Files != 1 {
		t.Errorf("it is told %+v", e)
	}
	d.restarts(n, "web-1", 1, "third")
	if e := next(t, events); e.Restart || e.Files != 1 {
		t.Errorf("it is told %+v", e)
	}
	first["/app/c.js"] = "644 three"
	d.wants("web-1", first)

	n.pod("web", "web-2")
	d.restarts(n, "web-2", 2, "fourth")
	if e := next(t, events); !e.Restart || e.Files != 3 || e.Place.Pod != "web-2" {
		t.Errorf("it is told %+v", e)
	}
	d.wants("web-2", first)
	if diff := cmp.Diff([]string{"web-1: warm up", "web-1: warm up", "web-2: warm up"}, d.runs); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}

	d.mu.Lock()
	d.fail = map[string]error{"layer": errors.New("the registry is away")}
	d.mu.Unlock()
	err := s.Update(t.Context(), "web", runtime.SyncUpdate{Changes: []runtime.SyncChange{source(t, dir, "a.js", "four", 0o644)}, Restart: true})
	if err == nil || !strings.Contains(err.Error(), "the registry is away") || errors.Is(err, runtime.ErrNoSync) {
		t.Errorf("without a registry: %v", err)
	}
	if s.Synced("web") {
		t.Error("the service counts as synced, though its containers were not restarted")
	}
}

// TestSyncFails: if an image lacks the programs, an error says so, and its containers do not
// count as synced.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	_, d, s, events := newSync(t)
	dir := t.TempDir()
	set := func(program string, err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.fail = map[string]error{program: err}
	}
	for _, program := range []string{"tar", "sh"} {
		set(program, errors.New("executable file not found in $PATH"))
		err := update(t, s, []runtime.SyncChange{source(t, dir, "a.js", "one", 0o644)}, nil)
		var lacks *reach.NoProgramError
		if !errors.As(err, &lacks) || lacks.Program != program {
			t.Errorf("without %s: %v", program, err)
		}
		if e := next(t, events); !errors.As(e.Err, &lacks) {
			t.Errorf("it is told %+v", e)
		}
		if s.Synced("web") {
			t.Errorf("without %s the service counts as synced", program)
		}
	}
}

// TestSyncFailsHalfway: temporary files are removed if a copy fails.
func TestSyncFailsHalfway(t *testing.T) {
	t.Parallel()
	_, d, s, _ := newSync(t)
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(d.dir("web-1"), "app"), 0o755))
	must(t, os.WriteFile(filepath.Join(d.dir("web-1"), "app", "dir"), nil, 0o644)) // in place of a directory
	err := update(t, s, []runtime.SyncChange{source(t, dir, "a.js", "one", 0o644), source(t, dir, "dir/b.js", "two", 0o644)}, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "copy files into container main of pod web-1: tar: exit status ") {
		t.Errorf("a file in place of a directory: %v", err)
	}
	d.wants("web-1", map[string]string{"/app/dir": "644 "})
}
