package build_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// cnbUser is the user that the buildpacks of the tests run as.
const cnbUser = 1234

// apisOf is the label of a lifecycle that supports these versions of the platform API.
func apisOf(versions ...string) string {
	return fmt.Sprintf(`{"buildpack":{"deprecated":[],"supported":["0.10"]},"platform":{"deprecated":[],"supported":["%s"]}}`, strings.Join(versions, `","`))
}

// builderImage is a builder with the real lifecycle, and buildpacks that are scripts: greet, whose scripts
// are these, and another one that accepts nothing. The lifecycle is in a layer that all have in common.
func builderImage(t testing.TB, detect, build string) v1.Image {
	t.Helper()
	system, f := rootFiles(t), files{}
	for _, program := range []string{"lifecycle", "launcher"} {
		content, err := os.ReadFile("../../bin/" + program)
		if err != nil {
			unavailable(t, "lifecycle", fmt.Errorf("%w: make lifecycle", err))
		}
		system["cnb/lifecycle/"+program+"*"] = string(content)
	}
	system["cnb/lifecycle/creator"] = "-> lifecycle"
	system["cnb/lifecycle/lifecycle.toml"] = "[lifecycle]\nversion = \"0.20.11\"\n"
	f["cnb/order.toml"] = `
[[order]]
[[order.group]]
id = "test/other"
version = "2"
[[order]]
[[order.group]]
id = "test/greet"
version = "1"
`
	for id, scripts := range map[string][2]string{"greet/1": {detect, build}, "other/2": {"exit 100", "exit 1"}} {
		of, version, _ := strings.Cut(id, "/")
		dir := "cnb/buildpacks/test_" + id + "/"
		f[dir+"buildpack.toml"] = fmt.Sprintf("api = \"0.10\"\n[buildpack]\nid = \"test/%s\"\nversion = \"%s\"\nname = \"Test\"\nsbom-formats = [\"application/vnd.cyclonedx+json\", \"application/spdx+json\", \"application/vnd.syft+json\"]\n[[targets]]\nos = \"linux\"\n", of, version)
		f[dir+"bin/detect*"] = "#!/bin/sh\nset -eu\n" + scripts[0] + "\n"
		f[dir+"bin/build*"] = "#!/bin/sh\nset -eu\n" + scripts[1] + "\n"
	}
	return imageOfFiles(t, v1.Config{
		User: fmt.Sprintf("%d:%d", cnbUser, cnbUser),
		Env:  []string{"PATH=/bin", fmt.Sprintf("CNB_USER_ID=%d", cnbUser), fmt.Sprintf("CNB_GROUP_ID=%d", cnbUser)},
		Labels: map[string]string{
			"io.buildpacks.builder.metadata": `{"description":"of a test","lifecycle":{"version":"0.20.11"}}`,
			"io.buildpacks.lifecycle.apis":   apisOf("0.7", "0.12", "0.14"),
		},
	}, system, f)
}

// runImage is an image that the images of buildpacks are based on.
func runImage(t testing.TB) v1.Image {
	t.Helper()
	f := rootFiles(t)
	f["etc/base"] = "the run image"
	return imageOfFiles(t, v1.Config{
		User: fmt.Sprint(cnbUser), Env: []string{"PATH=/bin", "FROM_BASE=yes"},
		Labels: map[string]string{"io.buildpacks.base.distro.name": "test"},
	}, f)
}

// rootFiles are the files of a small system with a shell.
func rootFiles(t testing.TB) files {
	t.Helper()
	program, err := busyboxFile()
	if err != nil {
		unavailable(t, "buildkit", err)
	}
	f := files{
		"bin/busybox*": string(program), "tmp/": "", "home/cnb/": "",
		"etc/passwd": fmt.Sprintf("root:x:0:0::/root:/bin/sh\ncnb:x:%d:%d::/home/cnb:/bin/sh\n", cnbUser, cnbUser),
		"etc/group":  fmt.Sprintf("root:x:0:\ncnb:x:%d:\n", cnbUser),
	}
	for _, applet := range []string{"sh", "cat", "cp", "mkdir", "test", "sleep", "echo", "id", "ls"} {
		f["bin/"+applet] = "-> busybox"
	}
	return f
}

// imageOfFiles returns an image for this machine with a layer for each of these files.
func imageOfFiles(t testing.TB, config v1.Config, all ...files) v1.Image {
	t.Helper()
	img := empty.Image
	for _, f := range all {
		var err error
		if img, err = mutate.AppendLayers(img, static.NewLayer(tarOfFiles(t, f), types.DockerUncompressedLayer)); err != nil {
			t.Fatal(err)
		}
	}
	return reconfigured(t, img, func(c *v1.ConfigFile) { c.OS, c.Architecture, c.Config = "linux", goruntime.GOARCH, config })
}

// tarOfFiles returns an archive of files. A name that ends in a slash is a directory that everybody may
// write to.
func tarOfFiles(t testing.TB, f files) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	made := map[string]bool{".": true}
	var parents func(dir string)
	parents = func(dir string) {
		if !made[dir] {
			parents(path.Dir(dir))
			made[dir] = true
			_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
		}
	}
	for _, n := range slices.Sorted(maps.Keys(f)) {
		content, mode := f[n], int64(0o644)
		if strings.HasSuffix(n, "*") {
			n, mode = strings.TrimSuffix(n, "*"), 0o755
		}
		dir, isDir := strings.CutSuffix(n, "/")
		parents(path.Dir(dir))
		switch to, isLink := strings.CutPrefix(content, "-> "); {
		case isDir:
			made[dir] = true
			_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: n, Mode: 0o1777})
		case isLink:
			_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: n, Linkname: to})
		default:
			_ = w.WriteHeader(&tar.Header{Name: n, Mode: mode, Size: int64(len(content))})
			_, _ = w.Write([]byte(content))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// reconfigured returns an image with another configuration.
func reconfigured(t testing.TB, img v1.Image, change func(*v1.ConfigFile)) v1.Image {
	t.Helper()
	c := mustConfig(t, img).DeepCopy()
	change(c)
	img, err := mutate.ConfigFile(img, c)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// cnbSpec is the build of the directory web with a builder and a run image, which it pushes.
func cnbSpec(t testing.TB, host string, builder, run remote.Taggable) plan.BuildSpec {
	t.Helper()
	s := spec("web")
	s.Dockerfile, s.Buildpack = "", &plan.Buildpack{Env: map[string]string{"GREETING": "good morning"}}
	s.ImageArgs = map[string]plan.ImageSource{plan.BuildpackBuilder: {Mirror: "example.com/builder:1"}, plan.BuildpackRun: {Mirror: "example.com/run:2"}}
	s.Bases = map[string]plan.Base{}
	for arg, img := range map[string]remote.Taggable{plan.BuildpackBuilder: builder, plan.BuildpackRun: run} {
		to, err := name.NewTag(host + "/mirror/" + strings.ToLower(arg) + ":1")
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Push(to, img, remote.WithContext(t.Context())); err != nil {
			t.Fatal(err)
		}
		raw, err := img.RawManifest()
		if err != nil {
			t.Fatal(err)
		}
		digest := plan.DigestOf(raw)
		s.Bases[arg] = plan.Base{Identity: digest, Ref: runtime.ByDigest(to.String(), digest)}
	}
	return s
}
