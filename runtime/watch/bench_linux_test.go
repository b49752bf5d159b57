package watch

import (
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"syscall"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// A large workspace has 1 000 services, each with a context of 100 files in ten
// directories.
const services, dirsEach, filesEach = 1000, 10, 10

func large(b *testing.B) (dir string, inputs []plan.Input, builds []plan.BuildSpec) {
	b.Helper()
	dir = b.TempDir()
	main := []byte("pipeline(\"large\")\n")
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	write("Pipelinefile", main)
	inputs = append(inputs, plan.Input{Path: "Pipelinefile", Kind: plan.InputModule, Digest: plan.DigestOf(main)})
	for i := range services {
		path := fmt.Sprintf("svc/s%d", i)
		for d := range dirsEach {
			sub := fmt.Sprintf("%s/pkg%d", path, d)
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
				b.Fatal(err)
			}
			for f := range filesEach {
				write(fmt.Sprintf("%s/file%d.go", sub, f), fmt.Appendf(nil, "package p%d\n\nconst X = %d\n", f, i))
			}
		}
		text := []byte("FROM scratch\n")
		write(path+"/Dockerfile", text)
		write(path+"/.dockerignore", []byte("node_modules\n**/*.log\n"))
		inputs = append(inputs, plan.Input{Path: path, Kind: plan.InputContext},
			plan.Input{Path: path + "/Dockerfile", Kind: plan.InputDockerfile, Digest: plan.DigestOf(text)})
		builds = append(builds, plan.BuildSpec{Source: plan.Source{Path: path}, Context: ".", Dockerfile: "Dockerfile"})
	}
	return dir, inputs, builds
}

// BenchmarkWatch measures the first Set of a large workspace, one with the same
// inputs, and one with an input more; what idling and memory cost; and how long it
// takes until a saved file is reported, including the 50 ms without changes.
func BenchmarkWatch(b *testing.B) {
	dir, inputs, builds := large(b)
	var first, read time.Duration
	open := func() *Files {
		f, err := OpenFiles(dir, FileOptions{Notice: func(n Notice) { b.Fatalf("%+v", n) }})
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if err := f.Set(inputs, builds); err != nil {
			b.Fatal(err)
		}
		first = time.Since(began)
		s := &space{TB: b, dir: dir, files: f}
		s.inspect(func(*Files) {})
		read = time.Since(began)
		return f
	}
	heap := func() uint64 {
		var m goruntime.MemStats
		goruntime.GC()
		goruntime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	f := open()
	defer f.Close()
	used := float64(heap()-before) / 1e6
	b.Run("first", func(b *testing.B) {
		for b.Loop() { // it was, once
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(first.Seconds()*1000, "ms")
		b.ReportMetric(read.Seconds()*1000, "ms-all-read")
		b.ReportMetric(used, "MB")
	})
	more := append(inputs[:len(inputs):len(inputs)], plan.Input{Path: "svc/s7/pkg3/file1.go", Kind: plan.InputFile, Digest: plan.DigestOf([]byte("package p1\n\nconst X = 7\n"))})
	b.Run("same", func(b *testing.B) {
		for b.Loop() {
			if err := f.Set(inputs, builds); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("more", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			in := inputs
			if i%2 == 0 {
				in = more
			}
			if err := f.Set(in, builds); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("idle", func(b *testing.B) {
		var used time.Duration
		began := time.Now()
		for b.Loop() {
			before := cpu(b)
			time.Sleep(time.Second)
			used += cpu(b) - before
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(100*used.Seconds()/time.Since(began).Seconds(), "%core")
		b.ReportMetric(float64(len(f.src.(*notifier).watcher.WatchList())), "watches")
	})
	b.Run("save", func(b *testing.B) {
		file := filepath.Join(dir, "svc/s500/pkg5/file5.go")
		for i := 0; b.Loop(); i++ {
			if err := os.WriteFile(dir+".new", fmt.Append(nil, i), 0o644); err != nil {
				b.Fatal(err)
			}
			if err := os.Rename(dir+".new", file); err != nil {
				b.Fatal(err)
			}
			if c := <-f.Changes(); len(c.Paths) != 1 {
				b.Fatalf("%+v", c)
			}
		}
	})
}

// cpu is the time that the process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
