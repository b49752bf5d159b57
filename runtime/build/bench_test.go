package build_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// together runs processes concurrently, and returns how long they took.
func together(b *testing.B, commands ...*exec.Cmd) time.Duration {
	b.Helper()
	began := time.Now()
	var wait sync.WaitGroup
	for _, c := range commands {
		wait.Go(func() {
			if err := c.Run(); err != nil {
				b.Errorf("%s: %v\n%s", c.Path, err, c.Stdout)
			}
		})
	}
	wait.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return time.Since(began)
}

// sides are the times of the two sides that a benchmark compares.
type sides [2][]time.Duration

func (s *sides) add(side int, took time.Duration) { s[side] = append(s[side], took) }

// report reports the medians of both sides and their ratio.
func (s *sides) report(b *testing.B, names [2]string, ratio string) {
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return d[len(d)/2].Seconds()
	}
	b.ReportMetric(median(s[0]), names[0]+"-s")
	b.ReportMetric(median(s[1]), names[1]+"-s")
	b.ReportMetric(median(s[0])/median(s[1]), ratio)
}

// parallelBuilds is how many different builds run concurrently.
const parallelBuilds = 7

// sources writes the contexts of n different builds, whose content is new, and returns their
// names. Each has 200 files, and a command that takes a moment.
func sources(b *testing.B, dir string, n int, command string) (all []string) {
	b.Helper()
	for i := range n {
		name := fmt.Sprintf("s%02d", i)
		f := files{
			name + "/Dockerfile": shell + "COPY src /src\nRUN " + command + "\n",
			name + "/busybox":    "", name + "/src/new": runtimetest.Unique(name),
		}
		for j := range 200 {
			f[fmt.Sprintf("%s/src/%d/file%03d", name, j%10, j)] = strings.Repeat(fmt.Sprintln(name, j), 100)
		}
		f.write(b, dir)
		all = append(all, name)
	}
	return all
}

// BenchmarkParallel runs different builds in parallel, beside buildctl with the same options and
// the same BuildKit: cold, with new contexts, and warm, with contexts that both have built before,
// and images that are not in the registry. The builds of pipe are those of one process.
func BenchmarkParallel(b *testing.B) {
	buildctl := os.Getenv("BUILDCTL")
	if buildctl == "" {
		b.Fatal("BUILDCTL is not the path of buildctl: see scripts/bench.sh")
	}
	addr, host := buildkit(b), images(b)
	const command = "tar -c /src | gzip -9 >/packed; sleep 0.2"
	pipe := func(dir string, all []string) time.Duration {
		d := childRun{Home: filepath.Join(dir, "home"), Builders: []string{addr}, Dir: dir, Registry: host + "/" + runtimetest.Unique("pipe"), Builds: all, Parallel: parallelBuilds, Quiet: true}
		c, _ := d.command(b)
		return together(b, c)
	}
	direct := func(dir string, all []string) time.Duration {
		var commands []*exec.Cmd
		prefix := host + "/" + runtimetest.Unique("buildctl")
		for _, name := range all {
			context := filepath.Join(dir, name)
			c := exec.Command(buildctl, "--addr", addr, "build", "--progress", "plain", "--frontend", "dockerfile.v0",
				"--local", "context="+context, "--local", "dockerfile="+context,
				"--opt", "attest:provenance=mode=min", "--opt", "build-arg:SOURCE_DATE_EPOCH=0",
				"--output", "type=image,name="+prefix+"/"+name+":1,push=true,oci-mediatypes=true,compression=zstd,oci-artifact=true")
			c.Stdout = &bytes.Buffer{}
			c.Stderr = c.Stdout
			commands = append(commands, c)
		}
		return together(b, commands...)
	}
	both := []func(string, []string) time.Duration{pipe, direct}
	var cold, warm sides
	for i := 0; b.Loop(); i++ {
		var dirs [2]string
		var all []string
		for n := range both {
			side := (n + i) % 2
			dirs[side] = b.TempDir()
			all = sources(b, dirs[side], parallelBuilds, command)
			cold.add(side, both[side](dirs[side], all))
		}
		for n := range both {
			side := (n + i) % 2
			warm.add(side, both[side](dirs[side], all))
		}
	}
	cold.report(b, [2]string{"cold-pipe", "cold-buildctl"}, "cold-ratio")
	warm.report(b, [2]string{"warm-pipe", "warm-buildctl"}, "warm-ratio")
}

// BenchmarkSameBuilds starts the same 20 builds by four processes, and by one. It fails if an
// image is built twice. They are processes of one machine, with one builder, or of two.
func BenchmarkSameBuilds(b *testing.B) {
	const builds = 20
	for _, test := range []struct {
		name   string
		shared bool
	}{{"machine", false}, {"machines", true}} {
		b.Run(test.name, func(b *testing.B) {
			var mu sync.Mutex
			built := map[string]int{}
			counter := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				built[r.URL.Path]++
			}))
			defer counter.Close()
			command := fmt.Sprintf("wget -q -O /got %s/$(cat /src/new); tar -c /src | gzip -9 >/packed; sleep 0.2", counter.URL)
			builders := []string{buildkit(b), buildkit(b)}
			if test.shared {
				builders[1] = startWorker(b).addr
			}
			host := images(b)
			processes := func(n int) time.Duration {
				dir, prefix := b.TempDir(), host+"/"+runtimetest.Unique("same")
				all := sources(b, dir, builds, command)
				var commands []*exec.Cmd
				for i := range n {
					d := childRun{Home: homeOf(dir, i, test.shared), Builders: builders[i%2 : i%2+1], Dir: dir, Registry: prefix, Builds: all, Shared: test.shared, Quiet: true}
					c, _ := d.command(b)
					commands = append(commands, c)
				}
				took := together(b, commands...)
				mu.Lock()
				defer mu.Unlock()
				if len(built) != builds {
					b.Fatalf("%d images were built, want %d", len(built), builds)
				}
				for image, times := range built {
					if times != 1 {
						b.Errorf("%s was built %d times", image, times)
					}
				}
				clear(built)
				return took
			}
			var took sides
			for i := 0; b.Loop(); i++ {
				for n := range 2 {
					side := (n + i) % 2
					took.add(side, processes([]int{4, 1}[side]))
				}
			}
			took.report(b, [2]string{"four-processes", "one-process"}, "ratio")
		})
	}
}

// homeOf returns the home of a process: one for all of a machine, or one for each of two machines.
func homeOf(dir string, process int, machines bool) string {
	if machines {
		return filepath.Join(dir, fmt.Sprint("home", process%2))
	}
	return filepath.Join(dir, "home")
}

// BenchmarkTwoBuilders runs builds that wait for the network of their builder, on two builders and
// on one. Each builder is a host that downloads at most 4 MiB per second, so that a build waits two
// seconds: much less, and the processors of this machine, which both builders share, decide.
func BenchmarkTwoBuilders(b *testing.B) {
	const builds, size, rate = 12, 8 << 20, 4 << 20
	n := newNetwork(b)
	l, err := net.Listen("tcp", n.gateway+":0")
	if err != nil {
		b.Fatal(err)
	}
	var mu sync.Mutex
	free := map[string]time.Time{} // when the link of a host is free
	link := func(host string, bytes int) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		at := time.Now()
		if free[host].After(at) {
			at = free[host]
		}
		free[host] = at.Add(time.Duration(float64(bytes) / rate * float64(time.Second)))
		return time.Until(free[host])
	}
	slow := &httptest.Server{Listener: l, Config: &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		part := make([]byte, 64<<10)
		for sent := 0; sent < size; sent += len(part) {
			time.Sleep(link(host, len(part)))
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	})}}
	slow.Start()
	defer slow.Close()
	var builders []string
	for _, h := range n.hosts {
		c, out := childRun{Home: h.home}.command(b, "nsenter", "--net=/run/netns/"+h.namespace)
		together(b, c)
		builders = append(builders, strings.TrimSpace(out.String()))
	}
	registry := n.newKillingRegistry(b, imagesHandler())
	var took sides
	for i := 0; b.Loop(); i++ {
		for m := range 2 {
			side := (m + i) % 2
			dir := b.TempDir()
			all := sources(b, dir, builds, "wget -q -O /dev/null "+slow.URL)
			d := childRun{
				Home: filepath.Join(dir, "home"), Builders: builders[:2-side], Dir: dir, Registry: registry.addr + "/" + runtimetest.Unique("two"),
				Builds: all, Parallel: parallelBuilds, Quiet: true,
			}
			c, _ := d.command(b)
			took.add(side, together(b, c))
		}
	}
	took.report(b, [2]string{"two-builders", "one-builder"}, "ratio")
}
