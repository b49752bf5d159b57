package home

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/proc"
)

// Node is a kind of node.
type Node string

// The kinds of nodes.
const (
	Real      Node = "real"      // pods are processes of this machine
	Simulated Node = "simulated" // pods are only reported as running
)

// Phase is the phase of the supervisor.
type Phase string

// The phases, in order.
const (
	Starting Phase = "starting" // also while a child that died is being restarted
	Running  Phase = "running"
	Stopping Phase = "stopping"
	Failed   Phase = "failed" // the supervisor gave up and has ended, for the reason in Why
)

// ChildState is the state of a child of the supervisor.
type ChildState string

// The states of a child.
const (
	ChildRunning    ChildState = "running"
	ChildRestarting ChildState = "restarting"
	ChildStopped    ChildState = "stopped"
)

// Child is a process that the supervisor keeps alive.
type Child struct {
	Name string `json:"name"`
	proc.ID
	State ChildState `json:"state"`
}

// State is the state that the supervisor wrote last. Only the supervisor writes it, so it is valid only
// as long as the supervisor lives.
type State struct {
	Phase      Phase   `json:"phase"`
	Doing      string  `json:"doing,omitempty"` // what the supervisor is waiting for
	Why        string  `json:"why,omitempty"`   // why it failed, or what died last
	Supervisor proc.ID `json:"supervisor"`
	Children   []Child `json:"children,omitempty"`
}

// Config is the configuration that was chosen when the cluster was created. Repairs do not change it.
type Config struct {
	Node        Node   `json:"node"`
	Address     string `json:"address"`        // of the API server, and of a real node
	Port        int    `json:"port,omitempty"` // of the API server; 0 until it has first listened
	PodCIDR     string `json:"podCIDR"`
	ServiceCIDR string `json:"serviceCIDR"`
}

// ErrDamaged is the error if a file does not contain what was written to it, such as after a power
// failure or on a full disk.
var ErrDamaged = errors.New("the file is damaged")

// Simulation returns the configuration of a new cluster with a simulated node.
func Simulation() Config {
	return Config{Node: Simulated, Address: "127.0.0.1", PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.96.0.0/16"}
}

// ReadState reads the supervisor's state. It returns the zero State if the file does not exist, and
// ErrDamaged if the file is not valid.
func (d Dir) ReadState() (State, error) {
	var s State
	path := d.Path("state.json")
	ok, err := read(path, &s)
	switch s.Phase {
	case Starting, Running, Stopping, Failed:
	default:
		if ok {
			return State{}, damaged(path)
		}
	}
	return s, err
}

// WriteState replaces the supervisor's state.
func (d Dir) WriteState(s State) error { return write(d.Path("state.json"), s) }

// ReadConfig reads the configuration. ok is false if the file does not exist. It returns ErrDamaged if
// the file is not valid.
func (d Dir) ReadConfig() (c Config, ok bool, err error) {
	path := d.Path("cluster.json")
	if ok, err = read(path, &c); ok && !c.whole() {
		return Config{}, false, damaged(path)
	}
	return c, ok, err
}

// whole reports whether a configuration is complete.
func (c Config) whole() bool {
	return (c.Node == Real || c.Node == Simulated) && c.Address != "" && c.PodCIDR != "" && c.ServiceCIDR != ""
}

// WriteConfig replaces the configuration.
func (d Dir) WriteConfig(c Config) error { return write(d.Path("cluster.json"), c) }

func read(path string, v any) (bool, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, damaged(path)
	}
	return true, nil
}

func damaged(path string) error { return &fs.PathError{Op: "read", Path: path, Err: ErrDamaged} }

// write replaces a file atomically: concurrent readers get the old or the new content.
func write(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(path, append(b, '\n'), 0o600)
}

// WriteFile writes a file atomically.
func WriteFile(path string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails, as intended, after the rename
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
