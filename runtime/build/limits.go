package build

import "github.com/moby/buildkit/client/llb"

// Limits are the resource limits of a build (I5): of each of its commands and, in the embedded
// builder, of all that run concurrently together. A builder that runs as an ordinary user cannot
// enforce them.
type Limits struct {
	CPU    float64 // cores; default 4; negative: no limit
	Memory int64   // bytes; default 4 GiB; negative: no limit
}

// orDefault returns the limits of a build without those that are not set.
func (l Limits) orDefault() Limits {
	if l.CPU == 0 {
		l.CPU = 4
	}
	if l.Memory == 0 {
		l.Memory = 4 << 30
	}
	return l
}

// cpuPeriod is the period in which commands may use the CPU for their share, in microseconds.
const cpuPeriod = 100_000

// resources returns the limits as LLB has them.
func (l Limits) resources() (r llb.LinuxResources) {
	l = l.orDefault()
	if l.CPU > 0 {
		r.CPUPeriod, r.CPUQuota = cpuPeriod, int64(l.CPU*cpuPeriod)
	}
	r.Memory = max(l.Memory, 0)
	return r
}

// limits returns the limits of builds on n.
func (n *node) limits(usual Limits) Limits {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.member.Limits != (Limits{}) {
		return n.member.Limits
	}
	return usual
}

// takesLimits reports whether the builder limits the resources of a command that no frontend asks for:
// older ones refuse such a build.
func (n *node) takesLimits() bool { return engineOf(n.addr) == nil && n.has(minorResources) }
