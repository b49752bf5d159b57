// Package node makes this machine a node of a cluster, and afterwards what it was before.
//
// Nothing of the machine's own is used or changed but for kernel settings, whose values are kept and put back: the
// cluster has its own containerd, its own interface, its own firewall tables, its own cgroups, all named after it.
package node

const (
	// Interface is the network interface that carries the node's address. Nothing else is behind it: the address is
	// there also when the machine's others change, and nobody outside can reach it.
	Interface = "pipe0"
	// cgroup is below which all cgroups of pods are.
	cgroup = "pipe-cluster"
	// table is the firewall table that lets pods reach the world.
	table = "pipe-cluster"
	// network is the name of the pods' network, which the CNI plugins give to the files they keep.
	network = "pipe-cluster"
	// PauseImage is the image that holds a pod's namespaces. It is made here and never pulled.
	PauseImage = "pipe-cluster.local/pause:1"
)
