package control

import (
	"runtime/debug"
	"strings"
	"sync/atomic"
	_ "unsafe" // for linkname

	"k8s.io/component-base/version"
)

// Version returns the version of Kubernetes in this binary, such as "v1.36.3".
func Version() string { return Module("k8s.io/kubernetes") }

// Module returns the version of a module in this binary, or "" if it does not contain the module.
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

// The build scripts of Kubernetes set its version through the linker. A plain `go build` does not, so
// that the version would be v0.0.0, which charts with a kubeVersion reject. version.SetDynamicVersion
// does not allow changing the number, so these variables are set directly.

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

// SetVersion makes every component of Kubernetes in this process report its version. Call it first.
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
