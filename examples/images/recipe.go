package main

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

//go:embed files
var files embed.FS

// A Recipe says what an image is made of.
type Recipe struct {
	Name     string
	Packages []string          // with what they depend on
	Version  string            // the package whose major version is the image's tag
	Accounts string            // lines of /etc/passwd; the group has the same name and number
	Dirs     map[string]Owner  // made empty
	Links    map[string]string // symbolic links: path to target
	Files    map[string]string // of the folder files: path in the image to name; executable
	Go       bool              // with the Go toolchain of this machine
	Drop     []string          // paths that start so are left out
	Config   v1.Config
}

// An Owner is who owns a folder and what others may do there.
type Owner struct {
	ID   int
	Mode fs.FileMode
}

// The official images give both servers this user.
const serverID = 999

// searchPath is that of all images; PostgreSQL's programs are not in it with Debian, its recipe adds them.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// base is under all others: what dynamically linked programs need, a shell with small tools, and certificates.
func base() Recipe {
	return Recipe{
		Name:     "debian",
		Packages: []string{"base-files", "libc6", "libc-bin", "busybox-static", "gosu", "netbase", "tzdata"},
		Version:  "base-files",
		Accounts: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		Dirs:     map[string]Owner{"tmp": {0, 0o1777}, "var/tmp": {0, 0o1777}, "root": {0, 0o700}, "run": {0, 0o755}, "proc": {0, 0o555}, "sys": {0, 0o555}, "dev": {0, 0o755}},
		// All systems that we make images from have merged these.
		Links:  map[string]string{"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "var/run": "/run", "var/lock": "/run/lock"},
		Config: v1.Config{Env: []string{"PATH=" + searchPath}, Cmd: []string{"/bin/sh"}},
	}
}

func postgres() Recipe {
	return Recipe{
		Name:     "postgres",
		Packages: []string{"postgresql"}, // the version that this system has
		Version:  "postgresql",
		Accounts: account("postgres", "/var/lib/postgresql"),
		Dirs: map[string]Owner{
			"var/lib/postgresql":      {serverID, 0o755},
			"var/lib/postgresql/data": {serverID, 0o1777},
			"run/postgresql":          {serverID, 0o3777},
		},
		Files: map[string]string{"usr/local/bin/docker-entrypoint.sh": "postgres.sh"},
		// Compiling queries needs LLVM, four times the size of all else; PostgreSQL does without.
		Drop: []string{"usr/lib/postgresql/*/lib/bitcode", "usr/lib/postgresql/*/lib/llvmjit", "usr/share/postgresql/*/man"},
		Config: v1.Config{
			Env:          []string{"PATH=/usr/lib/postgresql/VERSION/bin:" + searchPath, "PGDATA=/var/lib/postgresql/data", "LANG=C.UTF-8"},
			Entrypoint:   []string{"docker-entrypoint.sh"},
			Cmd:          []string{"postgres"},
			ExposedPorts: map[string]struct{}{"5432/tcp": {}},
			Volumes:      map[string]struct{}{"/var/lib/postgresql/data": {}},
			StopSignal:   "SIGINT", // PostgreSQL's fast shutdown: it ends sessions and does not wait for them
		},
	}
}

func redis() Recipe {
	return Recipe{
		Name:     "redis",
		Packages: []string{"redis-server"},
		Version:  "redis-server",
		Accounts: account("redis", "/data"),
		Dirs:     map[string]Owner{"data": {serverID, 0o755}},
		Files:    map[string]string{"usr/local/bin/docker-entrypoint.sh": "redis.sh"},
		Config: v1.Config{
			Env:          []string{"PATH=" + searchPath},
			Entrypoint:   []string{"docker-entrypoint.sh"},
			Cmd:          []string{"redis-server"},
			ExposedPorts: map[string]struct{}{"6379/tcp": {}},
			Volumes:      map[string]struct{}{"/data": {}},
			WorkingDir:   "/data",
		},
	}
}

func golang() Recipe {
	return Recipe{
		Name: "golang",
		Go:   true,
		Dirs: map[string]Owner{"go": {0, 0o777}, "go/bin": {0, 0o777}, "go/src": {0, 0o777}},
		Config: v1.Config{
			Env:        []string{"PATH=/go/bin:/usr/local/go/bin:" + searchPath, "GOPATH=/go", "GOTOOLCHAIN=local", "CGO_ENABLED=0"},
			Cmd:        []string{"/bin/sh"},
			WorkingDir: "/go",
		},
	}
}

func account(name, home string) string {
	return fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", name, serverID, serverID, home)
}

// assumed are packages that count as installed: what they are for is done otherwise, or is not done in an image at all
// (asking questions, adding users, choosing among several clusters, making certificates). Without this the image of
// PostgreSQL holds Perl, LLVM and an init system.
func assumed() []string {
	names := strings.Fields(`adduser awk mawk base-passwd cdebconf debconf debconf-2.0 dpkg init-system-helpers locales lsb-base
		openssl passwd perl perl-base perl-modules postgresql-client-common postgresql-common procps sensible-utils
		ssl-cert sysvinit-utils systemd-standalone-sysusers tar ucf usrmerge usr-is-merged`)
	for v := 11; v < 30; v++ {
		names = append(names, fmt.Sprintf("libllvm%d", v), fmt.Sprintf("libllvm%dt64", v))
	}
	return names
}
