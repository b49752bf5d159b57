package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// format grows when images made by an older program are to be made again.
const format = 1

const labelPackages = "dev.pipelinefile.packages" // NAME=VERSION, separated by spaces

// A maker makes images; apt is asked only when there is something to make.
type maker struct {
	store  Store
	out    io.Writer
	work   string
	apt    *Apt
	system string // such as "debian 12"
	goroot Toolchain
}

// Make makes the images that are missing or made otherwise than now, and returns all as NAME:TAG. It says on out what it
// does. A version that the system's packages have got since does not count: what runs stays as it is until the folder
// is removed.
func Make(ctx context.Context, s Store, out io.Writer) ([]string, error) {
	if err := os.MkdirAll(s.blobs(), 0o755); err != nil {
		return nil, err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	m := &maker{store: s, out: out}
	if m.system, err = system(); err != nil {
		return nil, err
	}
	if m.goroot, err = FindToolchain(ctx); err != nil {
		return nil, err
	}
	if m.work, err = os.MkdirTemp(string(s), "work-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(m.work)

	var names []string
	below, key, err := m.image(ctx, base(), nil, v1.Hash{}, &names)
	if err != nil {
		return nil, err
	}
	for _, r := range []Recipe{postgres(), redis(), golang()} {
		if _, _, err := m.image(ctx, r, &below, key, &names); err != nil {
			return nil, err
		}
	}
	if m.apt != nil {
		return names, s.Sweep()
	}
	return names, nil
}

// image makes one image on top of another, unless it is there, and adds its name. It returns it and the digest of its
// recipe.
func (m *maker) image(ctx context.Context, r Recipe, below *v1.Descriptor, belowKey v1.Hash, names *[]string) (v1.Descriptor, v1.Hash, error) {
	key, err := m.key(r, belowKey)
	if err != nil {
		return v1.Descriptor{}, key, err
	}
	d, ok, err := m.store.Find(r.Name, key)
	if err == nil && !ok {
		d, err = m.make(ctx, r, below)
		if err == nil {
			d.Annotations[annotationRecipe] = key.String()
			err = m.store.Add(d)
		}
	}
	if err != nil {
		return d, key, fmt.Errorf("image %s: %w", r.Name, err)
	}
	*names = append(*names, d.Annotations[annotationName])
	return d, key, nil
}

// key digests everything that decides what an image becomes, save the versions of packages.
func (m *maker) key(r Recipe, below v1.Hash) (v1.Hash, error) {
	parts := []any{format, m.system, runtime.GOARCH, r, below, assumed(), unneeded}
	for _, file := range sorted(r.Files) {
		data, err := files.ReadFile("files/" + r.Files[file])
		if err != nil {
			return v1.Hash{}, err
		}
		parts = append(parts, data)
	}
	if r.Go {
		parts = append(parts, m.goroot)
	}
	data, err := json.Marshal(parts)
	if err != nil {
		return v1.Hash{}, err
	}
	digest, _, err := hashed(data)
	return digest, err
}

func (m *maker) make(ctx context.Context, r Recipe, below *v1.Descriptor) (v1.Descriptor, error) {
	start := time.Now()
	var manifest v1.Manifest
	var config v1.ConfigFile
	var have []Package
	if below != nil {
		var err error
		if manifest, err = m.store.Manifest(below.Digest); err != nil {
			return v1.Descriptor{}, err
		}
		if config, err = m.store.Config(manifest); err != nil {
			return v1.Descriptor{}, err
		}
		have = parsePackages(config.Config.Labels[labelPackages])
	}
	var packages []Package
	var debs []string
	if len(r.Packages) > 0 {
		err := m.step(r, "asking apt what "+m.system+" has", func() (err error) {
			if m.apt == nil {
				if m.apt, err = NewApt(ctx, filepath.Join(m.work, "apt")); err != nil {
					return err
				}
			}
			packages, err = m.apt.Resolve(ctx, r.Packages, have)
			return err
		})
		if err != nil {
			return v1.Descriptor{}, err
		}
		err = m.step(r, fmt.Sprintf("fetching %d packages", len(packages)), func() (err error) {
			debs, err = m.apt.Download(ctx, packages)
			return err
		})
		if err != nil {
			return v1.Descriptor{}, err
		}
	}
	what := "packing"
	if r.Go {
		what = "packing " + m.goroot.Root
	}
	var layer v1.Descriptor
	var content v1.Hash
	err := m.step(r, what, func() (err error) {
		layer, content, err = m.layer(ctx, r, debs)
		return err
	})
	if err != nil {
		return v1.Descriptor{}, err
	}
	tag := m.goroot.Tag()
	if !r.Go {
		i := slices.IndexFunc(packages, func(p Package) bool { return p.Name == r.Version })
		if i < 0 {
			return v1.Descriptor{}, fmt.Errorf("package %s is not among what apt would install", r.Version)
		}
		tag = upstream(packages[i].Version)
	}
	config.Architecture, config.OS = runtime.GOARCH, "linux"
	config.RootFS.Type = "layers"
	config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, content)
	config.History = append(config.History, v1.History{CreatedBy: "packages of " + m.system})
	config.Config = r.Config
	config.Config.Env = slices.Clone(r.Config.Env)
	for i, e := range config.Config.Env {
		config.Config.Env[i] = strings.ReplaceAll(e, "VERSION", tag)
	}
	config.Config.Labels = map[string]string{labelPackages: formatPackages(append(have, packages...))}
	manifest.SchemaVersion, manifest.MediaType = 2, types.OCIManifestSchema1
	manifest.Layers = append(manifest.Layers, layer)
	if manifest.Config, err = m.store.PutJSON(config, types.OCIConfigJSON); err != nil {
		return v1.Descriptor{}, err
	}
	d, err := m.store.PutJSON(manifest, types.OCIManifestSchema1)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d.Platform = &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	d.Annotations = map[string]string{annotationName: r.Name + ":" + tag}
	fmt.Fprintf(m.out, "image %s:%s made, %.1f MB above its base, %.1f s\n", r.Name, tag, float64(layer.Size)/1e6, time.Since(start).Seconds())
	return d, nil
}

// patience is after how long a step says that it goes on.
const patience = 10 * time.Second

// step says what is done, and again while it lasts.
func (m *maker) step(r Recipe, what string, do func() error) error {
	start := time.Now()
	fmt.Fprintf(m.out, "image %s: %s\n", r.Name, what)
	done := make(chan error, 1)
	go func() { done <- do() }()
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			fmt.Fprintf(m.out, "image %s: %s, for %.0f s\n", r.Name, what, time.Since(start).Seconds())
		}
	}
}

// layer writes what the recipe adds. The recipe's own things come first, and so win over those of packages.
func (m *maker) layer(ctx context.Context, r Recipe, debs []string) (v1.Descriptor, v1.Hash, error) {
	fail := func(err error) (v1.Descriptor, v1.Hash, error) { return v1.Descriptor{}, v1.Hash{}, err }
	l, err := NewLayer(m.work, r.Drop)
	if err != nil {
		return fail(err)
	}
	defer l.Abandon()
	if r.Name == base().Name {
		// What the links point at, before anything is in it.
		for _, dir := range []string{"usr", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "var"} {
			if err := l.Dir(dir, Owner{0, 0o755}); err != nil {
				return fail(err)
			}
		}
	}
	for _, name := range sorted(r.Links) {
		if err := l.Link(name, r.Links[name]); err != nil {
			return fail(err)
		}
	}
	for _, name := range sorted(r.Dirs) {
		if err := l.Dir(name, r.Dirs[name]); err != nil {
			return fail(err)
		}
	}
	for _, name := range sorted(r.Files) {
		data, err := files.ReadFile("files/" + r.Files[name])
		if err != nil {
			return fail(err)
		}
		if err := l.File(name, 0o755, data); err != nil {
			return fail(err)
		}
	}
	if r.Accounts != "" {
		accounts := r.Accounts
		if r.Name != base().Name {
			accounts = base().Accounts + accounts
		}
		if err := l.File("etc/passwd", 0o644, []byte(accounts)); err != nil {
			return fail(err)
		}
		if err := l.File("etc/group", 0o644, []byte(groups(accounts))); err != nil {
			return fail(err)
		}
	}
	for i, deb := range debs {
		if err := l.Deb(ctx, deb); err != nil {
			return fail(err)
		}
		if strings.HasPrefix(filepath.Base(deb), "busybox-static_") {
			if err := m.tools(ctx, l, debs[i]); err != nil {
				return fail(err)
			}
		}
	}
	if r.Name == base().Name {
		if err := certificates(l); err != nil {
			return fail(err)
		}
	}
	if r.Go {
		if err := m.goroot.Pack(l, "usr/local/go"); err != nil {
			return fail(err)
		}
	}
	return l.Finish(m.store.blobs())
}

// tools adds the names by which busybox is called: a shell and what goes with it.
func (m *maker) tools(ctx context.Context, l *Layer, deb string) error {
	dir := filepath.Join(m.work, "busybox")
	if out, err := exec.CommandContext(ctx, "dpkg-deb", "--extract", deb, dir).CombinedOutput(); err != nil {
		return fmt.Errorf("dpkg-deb: %w: %s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", "busybox"))
	if more, _ := filepath.Glob(filepath.Join(dir, "usr", "bin", "busybox")); len(more) > 0 {
		found = more
	}
	if err != nil || len(found) == 0 {
		return fmt.Errorf("package busybox-static has no program busybox")
	}
	out, err := exec.CommandContext(ctx, found[0], "--list").Output()
	if err != nil {
		return fmt.Errorf("busybox --list: %w", err)
	}
	for _, name := range strings.Fields(string(out)) {
		if name == "busybox" || name == "dpkg" || name == "dpkg-deb" {
			continue
		}
		if err := l.Link("usr/bin/"+name, "busybox"); err != nil {
			return err
		}
	}
	return nil
}

// certificates adds the authorities that this machine trusts, its own ones too: builds reach what it reaches.
func certificates(l *Layer) error {
	for _, file := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"} {
		if data, err := os.ReadFile(file); err == nil {
			return l.File("etc/ssl/certs/ca-certificates.crt", 0o644, data)
		}
	}
	return fmt.Errorf("no certificate authorities on this machine: apt-get install ca-certificates")
}

// groups makes /etc/group of /etc/passwd: each user has a group of its own.
func groups(accounts string) string {
	return regexp.MustCompile(`(?m)^([^:]+):x:\d+:(\d+):.*$`).ReplaceAllString(accounts, "$1:x:$2:")
}

// system names the system whose packages are taken, such as "debian 12".
func system() (string, error) {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	field := func(name string) string {
		m := regexp.MustCompile(`(?m)^` + name + `="?([^"\n]*)"?$`).FindSubmatch(data)
		if m == nil {
			return ""
		}
		return string(m[1])
	}
	return strings.TrimSpace(field("ID") + " " + field("VERSION_ID")), nil
}

func formatPackages(packages []Package) string {
	words := make([]string, len(packages))
	for i, p := range packages {
		words[i] = p.Name + "=" + p.Version
	}
	return strings.Join(words, " ")
}

func parsePackages(s string) []Package {
	var packages []Package
	for _, word := range strings.Fields(s) {
		name, version, _ := strings.Cut(word, "=")
		packages = append(packages, Package{name, version})
	}
	return packages
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func hashed(data []byte) (v1.Hash, int64, error) { return v1.SHA256(bytes.NewReader(data)) }

// repository is the NAME of NAME:TAG.
func repository(d v1.Descriptor) string {
	name, _, _ := strings.Cut(d.Annotations[annotationName], ":")
	return name
}
