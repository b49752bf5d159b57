package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"
)

// Apt finds and downloads packages through this system's apt, with its sources, keys and proxies, but with a record of its
// own of what is installed: so it answers what an empty system would need. It needs no rights.
type Apt struct {
	dir     string
	updated error
}

// A Package is one version of a Debian package.
type Package struct{ Name, Version string }

// NewApt works in the folder, which it makes. It refreshes the lists of what there is.
func NewApt(ctx context.Context, dir string) (*Apt, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, errors.New("apt-get is not here: base images are made from packages of Debian or Ubuntu. " +
			"Elsewhere give pipe a registry that has postgres, redis and golang: --set images=REGISTRY")
	}
	a := &Apt{dir: dir}
	for _, sub := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	// Hooks of the system would act on the system's folders, such as emptying its package cache.
	config := fmt.Sprintf(`Dir::State %q;
Dir::State::lists %q;
Dir::State::status %q;
Dir::State::extended_states %q;
Dir::Cache %q;
Dir::Cache::archives %q;
Dir::Log %q;
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Retries "3";
Acquire::Languages "none";
Debug::NoLocking "true";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
`, dir, dir+"/lists", dir+"/status", dir+"/extended_states", dir, dir+"/archives", dir+"/log")
	if err := os.WriteFile(a.config(), []byte(config), 0o644); err != nil {
		return nil, err
	}
	if err := a.pretend(nil); err != nil {
		return nil, err
	}
	// One source of several may be down; what matters is whether the packages are found afterwards.
	_, a.updated = a.run(ctx, "update", "-qq")
	return a, nil
}

func (a *Apt) config() string { return filepath.Join(a.dir, "apt.conf") }

// Resolve returns the packages that those of the names need and that have are not already, in order of their names.
func (a *Apt) Resolve(ctx context.Context, names []string, have []Package) ([]Package, error) {
	if err := a.pretend(have); err != nil {
		return nil, err
	}
	out, err := a.run(ctx, append([]string{"install", "--simulate"}, names...)...)
	if err != nil {
		return nil, errors.Join(err, a.updated)
	}
	var found []Package
	for _, m := range simulated.FindAllStringSubmatch(out, -1) {
		name, _, _ := strings.Cut(m[1], ":")
		found = append(found, Package{name, m[2]})
	}
	slices.SortFunc(found, func(x, y Package) int { return strings.Compare(x.Name, y.Name) })
	return found, nil
}

// simulated is a line such as "Inst libc6 (2.36-9 Debian:12.15/oldstable [amd64]) []".
var simulated = regexp.MustCompile(`(?m)^Inst (\S+) \((\S+) `)

// Download returns the files of the packages, in the same order. apt checks them against the signed lists.
func (a *Apt) Download(ctx context.Context, packages []Package) ([]string, error) {
	// "apt-get download" writes to the working directory; one call fetches in parallel.
	dir, err := os.MkdirTemp(a.dir, "debs-")
	if err != nil {
		return nil, err
	}
	args := []string{"download", "-qq"}
	for _, p := range packages {
		args = append(args, p.Name+"="+p.Version)
	}
	cmd := a.command(ctx, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("apt-get download: %w: %s", err, tail(out)), a.updated)
	}
	files := make([]string, len(packages))
	for i, p := range packages {
		matches, err := filepath.Glob(filepath.Join(dir, p.Name+"_*.deb"))
		if err != nil || len(matches) != 1 {
			return nil, fmt.Errorf("apt-get download: %d files of package %s, want 1", len(matches), p.Name)
		}
		files[i] = matches[0]
	}
	return files, nil
}

// pretend writes the record of what is installed.
func (a *Apt) pretend(have []Package) error {
	var b strings.Builder
	write := func(name, version string) {
		fmt.Fprintf(&b, "Package: %s\nStatus: install ok installed\nMaintainer: nobody <nobody@localhost>\nArchitecture: all\nMulti-Arch: foreign\nVersion: %s\nDescription: assumed\n\n", name, version)
	}
	names := assumed()
	sort.Strings(names)
	for _, n := range names {
		write(n, "9999:0")
	}
	for _, p := range have {
		write(p.Name, p.Version)
	}
	return os.WriteFile(filepath.Join(a.dir, "status"), []byte(b.String()), 0o644)
}

func (a *Apt) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-c", a.config(), "-y"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func (a *Apt) run(ctx context.Context, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := a.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, tail(append(stdout.Bytes(), stderr.Bytes()...)))
	}
	return stdout.String(), nil
}

// tail is the last lines of what a program printed.
func tail(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// upstream returns the leading number of a package's version, which an image's tag is made from: "15" of "15+248" or
// "5:7.0.15-1" gives "7".
func upstream(version string) string {
	if _, after, ok := strings.Cut(version, ":"); ok {
		version = after
	}
	if i := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		version = version[:i]
	}
	return version
}
