// Package home manages the directory of a cluster: the paths of its files, their content, and locks.
package home

import (
	"os"
	"path/filepath"
)

// Dir is the absolute path of a cluster's directory, which contains everything that a cluster stores.
type Dir string

// Default returns the default directory: $PIPE_HOME/cluster, or pipe/cluster in the state directory of
// the XDG specification.
func Default(env func(string) string) (Dir, error) {
	if h := env("PIPE_HOME"); h != "" {
		return New(filepath.Join(h, "cluster"))
	}
	state := env("XDG_STATE_HOME")
	if state == "" {
		h, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		state = filepath.Join(h, ".local", "state")
	}
	return New(filepath.Join(state, "pipe", "cluster"))
}

// New returns the cluster's directory at path. Symbolic links are resolved as far as the path exists,
// because mounts and processes are identified by this path later.
func New(path string) (Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for p := abs; ; {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			return Dir(filepath.Join(real, rest)), nil
		}
		parent := filepath.Dir(p)
		if parent == p {
			return Dir(abs), nil
		}
		p, rest = parent, filepath.Join(filepath.Base(p), rest)
	}
}

// Path returns the path of a file below the directory.
func (d Dir) Path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// Kubeconfig returns the path of the kubeconfig for users.
func (d Dir) Kubeconfig() string { return d.Path("kubeconfig") }

// PKI returns the directory of certificates, keys, and the kubeconfigs of the components.
func (d Dir) PKI() string { return d.Path("pki") }

// Etcd returns the directory of the cluster's data.
func (d Dir) Etcd() string { return d.Path("etcd") }

// Run returns the directory of sockets. It is the working directory of every child, so that names of
// sockets are short even if the path of the directory is long: a socket path can have at most 107
// bytes.
func (d Dir) Run() string { return d.Path("run") }

// Volumes returns the directory that contains one directory for each persistent volume.
func (d Dir) Volumes() string { return d.Path("volumes") }

// Log returns the path of the log of a child.
func (d Dir) Log(name string) string { return d.Path("logs", name+".log") }

// Make creates the directory and the subdirectories that every cluster has.
func (d Dir) Make() error {
	for _, sub := range []string{"", "pki", "run", "logs"} {
		if err := os.MkdirAll(d.Path(sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}
