package home

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/proc"
)

// Node says what runs the pods.
type Node string

// The kinds of nodes.
const (
	Real      Node = "real"      // pods are processes of this machine
	Simulated Node = "simulated" // pods are only said to run
)

// Phase is how far the supervisor got.
type Phase string

// The phases, in the order in which they come.
const (
	Starting Phase = "starting" // also again, when a child that died is being restarted
	Running  Phase = "running"
	Stopping Phase = "stopping"
	Failed   Phase = "failed" // the supervisor gave up and has ended; Why says why
)

// ChildState is what a child of the supervisor is doing.
type ChildState string

// The states of a child.
const (
	ChildRunning    ChildState = "running"
	ChildRestarting ChildState = "restarting"
	ChildStopped    ChildState = "stopped"
)

// Child is one process that the supervisor keeps alive.
type Child struct {
	Name string `json:"name"`
	proc.ID
	State ChildState `json:"state"`
}

// State is what the supervisor last said. Only the supervisor writes it, so it is believed only as long as the
// supervisor lives.
type State struct {
	Phase      Phase   `json:"phase"`
	Doing      string  `json:"doing,omitempty"` // what is being waited for
	Why        string  `json:"why,omitempty"`   // why it failed, or what died last
	Supervisor proc.ID `json:"supervisor"`
	Children   []Child `json:"children,omitempty"`
}

// Config is what was chosen when the cluster was made, and stays when it is repaired.
type Config struct {
	Node        Node   `json:"node"`
	Address     string `json:"address"`        // of the API server; of the node, when real
	Port        int    `json:"port,omitempty"` // of the API server; 0 until it has first listened
	PodCIDR     string `json:"podCIDR"`
	ServiceCIDR string `json:"serviceCIDR"`
}

// ErrDamaged says that a file does not hold what was written to it, as after a power cut or on a full disk.
var ErrDamaged = errors.New("the file is damaged")

// Simulation is what is chosen for a cluster with a simulated node.
func Simulation() Config {
	return Config{Node: Simulated, Address: "127.0.0.1", PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.96.0.0/16"}
}

// ReadState reads the supervisor's last word; the zero State if there is none. ErrDamaged if it is not one.
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

// WriteState replaces the supervisor's last word.
func (d Dir) WriteState(s State) error { return write(d.Path("state.json"), s) }

// ReadConfig reads what was chosen; ok is false if nothing was yet. ErrDamaged if the file does not say it.
func (d Dir) ReadConfig() (c Config, ok bool, err error) {
	path := d.Path("cluster.json")
	if ok, err = read(path, &c); ok && !c.whole() {
		return Config{}, false, damaged(path)
	}
	return c, ok, err
}

// whole reports whether nothing is missing in a configuration.
func (c Config) whole() bool {
	return (c.Node == Real || c.Node == Simulated) && c.Address != "" && c.PodCIDR != "" && c.ServiceCIDR != ""
}

// WriteConfig replaces what was chosen.
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

// write replaces the file as a whole: who reads it while it is being written gets the old or the new one.
func write(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(path, append(b, '\n'), 0o600)
}

// WriteFile writes the file as a whole or not at all.
func WriteFile(path string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails, rightly, once it was renamed
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
