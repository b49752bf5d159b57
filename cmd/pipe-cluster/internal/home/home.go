// Package home is the folder of a cluster: where each file lies, what it says, and who holds it.
package home

import (
	"os"
	"path/filepath"
)

// Dir is the absolute path of a cluster's folder. Everything that a cluster keeps is below it.
type Dir string

// Default is the folder of a cluster when none is named: $PIPE_HOME/cluster, else pipe/cluster in the state folder of
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

// New is the cluster's folder at path. Symbolic links are followed as far as the path exists, because mounts and
// processes are later recognised by this path.
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

// Path is the path of a file below the folder.
func (d Dir) Path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// Kubeconfig is the file that users are given.
func (d Dir) Kubeconfig() string { return d.Path("kubeconfig") }

// PKI holds certificates, keys, and the kubeconfigs of the components.
func (d Dir) PKI() string { return d.Path("pki") }

// Etcd holds the cluster's data.
func (d Dir) Etcd() string { return d.Path("etcd") }

// Run holds sockets. It is the working directory of every child, so that a socket's name is short whatever the length
// of the folder's path: the kernel allows a socket path 107 bytes.
func (d Dir) Run() string { return d.Path("run") }

// Volumes holds one folder for each persistent volume.
func (d Dir) Volumes() string { return d.Path("volumes") }

// Log is the log of the child with this name.
func (d Dir) Log(name string) string { return d.Path("logs", name+".log") }

// Make creates the folder and those that every cluster has.
func (d Dir) Make() error {
	for _, sub := range []string{"", "pki", "run", "logs"} {
		if err := os.MkdirAll(d.Path(sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}
