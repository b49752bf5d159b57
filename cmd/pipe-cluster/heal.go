package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/control"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/node"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/proc"
)

// config reads the configuration that was chosen when the cluster was created. If the file is
// damaged, the configuration is derived from the address of the API server in a kubeconfig. Without
// a kubeconfig, the cluster does not exist yet, or the error says what the user can do.
func (a *app) config(d home.Dir) (c home.Config, known bool, err error) {
	c, known, err = d.ReadConfig()
	if !errors.Is(err, home.ErrDamaged) {
		return c, known, err
	}
	if host, port, ok := control.Address(d); ok {
		c, ok = home.Simulation(), true
		if host != c.Address {
			c, ok = node.Config(host)
		}
		if ok {
			c.Port = port
			a.say("%v: read from the kubeconfigs instead", err)
			return c, true, nil
		}
	}
	if _, missing := os.Stat(d.Etcd()); errors.Is(missing, os.ErrNotExist) {
		a.say("%v: ignored, because the cluster has no data yet", err)
		return home.Config{}, false, nil
	}
	return home.Config{}, true, fmt.Errorf("%w, and no kubeconfig has the address of the cluster: restore the file, "+
		"or remove the cluster and its data with `pipe-cluster down --dir %s`", err, d)
}

// heal does the same as config, and rewrites the file if it was damaged: children of the supervisor
// and node.Sweep read it. The caller must hold the lock of the directory.
func (a *app) heal(d home.Dir) (c home.Config, known bool, err error) {
	c, known, err = a.config(d)
	if err != nil || !known {
		return c, known, err
	}
	if _, _, damage := d.ReadConfig(); damage != nil {
		err = d.WriteConfig(c)
	}
	return c, known, err
}

// state reads the state that the supervisor wrote last. If the file is damaged, the state is derived
// from the list of processes, as if the supervisor had reported all of them as running; the caller
// asks the API server. damage is nil if the file is valid.
func state(d home.Dir) (s home.State, damage, err error) {
	s, err = d.ReadState()
	if !errors.Is(err, home.ErrDamaged) {
		return s, nil, err
	}
	s = home.State{Phase: home.Running}
	for _, id := range proc.Marked(string(d)) {
		switch args := id.Args(); {
		case len(args) > 1 && args[1] == "supervise":
			s.Supervisor = id
		case len(args) > 2 && args[1] == "role":
			s.Children = append(s.Children, home.Child{Name: args[2], ID: id, State: home.ChildRunning})
		case len(args) > 0 && !node.Shim(id):
			s.Children = append(s.Children, home.Child{Name: filepath.Base(args[0]), ID: id, State: home.ChildRunning})
		}
	}
	return s, err, nil
}

// mended reports that the state was derived from the list of processes because of the damage.
func (a *app) mended(damage error) {
	if damage != nil {
		a.say("%v: read from the list of processes instead", damage)
	}
}
