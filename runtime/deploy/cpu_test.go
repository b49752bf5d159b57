package deploy_test

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

func cpuOf(pid string) float64 {
	data, _ := os.ReadFile("/proc/" + pid + "/stat")
	f := strings.Fields(string(data)[strings.LastIndex(string(data), ")")+1:])
	u, _ := strconv.ParseFloat(f[11], 64)
	s, _ := strconv.ParseFloat(f[12], 64)
	return (u + s) / 100
}

func self() float64 {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return float64(r.Utime.Sec+r.Stime.Sec) + float64(r.Utime.Usec+r.Stime.Usec)/1e6
}

func BenchmarkCPU(b *testing.B) {
	config, asked := counting(testenv.Cluster(b))
	dir := b.TempDir()
	chartutil.Create("web", dir)
	p := benchPlan()
	pid := os.Getenv("CP_PID")
	for b.Loop() {
		ns := namespace(b, config)
		s0, c0, t0 := self(), cpuOf(pid), time.Now()
		pass(b, config, dir, ns, p)
		b.Logf("wall %.2f self %.2f cp %.2f %s", time.Since(t0).Seconds(), self()-s0, cpuOf(pid)-c0, shown(asked.take()))
	}
}
