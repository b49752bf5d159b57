package control

import (
	"runtime/debug"
	"strings"
	"sync/atomic"
	_ "unsafe" // for linkname

	"k8s.io/component-base/version"
)

// Version is that of the Kubernetes in this binary: "v1.36.3".
func Version() string { return Module("k8s.io/kubernetes") }

// Module is the version of a module in this binary, empty if it is not in it.
func Module(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == path {
			if m.Replace != nil {
				return m.Replace.Version
			}
			return m.Version
		}
	}
	return ""
}

// Kubernetes is told its own version by its build scripts, through the linker. A plain `go build` does not, and then it
// says v0.0.0, which charts with a kubeVersion refuse. version.SetDynamicVersion refuses to change the number, so these
// variables are set where they lie.

//go:linkname gitMajor k8s.io/component-base/version.gitMajor
var gitMajor string

//go:linkname gitMinor k8s.io/component-base/version.gitMinor
var gitMinor string

//go:linkname gitCommit k8s.io/component-base/version.gitCommit
var gitCommit string

//go:linkname gitTreeState k8s.io/component-base/version.gitTreeState
var gitTreeState string

//go:linkname dynamicGitVersion k8s.io/component-base/version.dynamicGitVersion
var dynamicGitVersion atomic.Value

// SetVersion makes every component of Kubernetes in this process tell its version. Call it first.
func SetVersion() {
	v := Version()
	if v == "" || version.Get().GitVersion == v {
		return
	}
	parts := strings.SplitN(strings.TrimPrefix(v, "v"), ".", 3)
	gitMajor, gitMinor = parts[0], parts[1]
	gitCommit, gitTreeState = "", "archive"
	dynamicGitVersion.Store(v)
}
