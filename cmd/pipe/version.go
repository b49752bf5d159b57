package main

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// A versionInfo is the output of "pipe version". Its JSON form is a public
// interface.
type versionInfo struct {
	Version   string    `json:"version"`
	Commit    string    `json:"commit"`
	Go        string    `json:"go"`
	Platform  string    `json:"platform"`
	Libraries []library `json:"libraries"`
}

// A library is a module that pipe depends on.
type library struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// libraries are the modules whose versions are shown.
var libraries = []library{
	{Name: "go.starlark.net"},
	{Name: "github.com/moby/buildkit"},
	{Name: "github.com/containerd/containerd/v2"},
	{Name: "github.com/google/go-containerregistry"},
	{Name: "github.com/distribution/distribution/v3"},
	{Name: "helm.sh/helm/v3"},
	{Name: "k8s.io/client-go"},
}

func (a *app) versionCmd() *cobra.Command {
	var show showFlags
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version, the commit and the libraries",
		Example: `  pipe version
  pipe version -o json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info := versionOf(debug.ReadBuildInfo())
			return a.write(show.output, info, func() error { return a.writeVersion(info) })
		},
	}
	show.addOutput(cmd)
	return cmd
}

// versionOf collects the version information in the binary.
func versionOf(build *debug.BuildInfo, ok bool) versionInfo {
	info := versionInfo{Version: version, Commit: commit, Libraries: []library{}}
	if !ok {
		return info
	}
	settings := map[string]string{}
	for _, s := range build.Settings {
		settings[s.Key] = s.Value
	}
	info.Go = build.GoVersion
	info.Platform = settings["GOOS"] + "/" + settings["GOARCH"]
	if info.Version == "" {
		info.Version = build.Main.Version
	}
	if info.Commit == "" {
		info.Commit = settings["vcs.revision"]
	}
	for _, lib := range libraries {
		for _, dep := range build.Deps {
			if dep.Path == lib.Name {
				if dep.Replace != nil {
					dep = dep.Replace
				}
				info.Libraries = append(info.Libraries, library{lib.Name, dep.Version})
			}
		}
	}
	return info
}

func (a *app) writeVersion(info versionInfo) error {
	var b strings.Builder
	fmt.Fprintf(&b, "pipe %s\ncommit %s\n%s %s\n", cmp.Or(info.Version, "unknown"), cmp.Or(info.Commit, "unknown"), info.Go, info.Platform)
	for _, lib := range info.Libraries {
		fmt.Fprintf(&b, "%s %s\n", lib.Name, lib.Version)
	}
	_, err := a.stdout.Write([]byte(b.String()))
	return err
}
