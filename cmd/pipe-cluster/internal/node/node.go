// Package node makes this machine a node of a cluster, and restores the machine afterwards.
//
// It does not use or change anything that the machine already has, except kernel settings, whose
// values are saved and restored: the cluster has its own containerd, its own interface, its own
// firewall tables and its own cgroups, all named after it.
package node

const (
	// Interface is the network interface that has the node's address. It is not connected to
	// anything: the address does not change when other addresses of the machine change, and it
	// cannot be reached from outside.
	Interface = "pipe0"
	// cgroup is the parent of all cgroups of pods.
	cgroup = "pipe-cluster"
	// table is the firewall table that gives pods access to the internet.
	table = "pipe-cluster"
	// network is the name of the pods' network, which the CNI plugins use in the names of their
	// files.
	network = "pipe-cluster"
	// PauseImage is the image of the container that holds a pod's namespaces. It is built here
	// and never pulled.
	PauseImage = "pipe-cluster.local/pause:1"
)
