package plan

// An Access says how many pods can mount a claim, as an access mode of Kubernetes.
type Access string

// The access modes.
const (
	ReadWriteOnce    Access = "ReadWriteOnce" // those of one node
	ReadWriteMany    Access = "ReadWriteMany"
	ReadOnlyMany     Access = "ReadOnlyMany"
	ReadWriteOncePod Access = "ReadWriteOncePod"
)

// Shared reports whether pods of several nodes can mount the claim. The zero Access is
// ReadWriteOnce.
func (a Access) Shared() bool { return a == ReadWriteMany || a == ReadOnlyMany }

// A VolumeClaim is what a volume requests besides its size.
type VolumeClaim struct {
	StorageClass string `json:"storage_class,omitempty"` // empty: the cluster's default
	Access       Access `json:"access,omitempty"`        // empty: ReadWriteOnce
}

// A Mount mounts a claim that does not belong to the service (D11): a disk, which several
// services can mount, or a claim that exists.
type Mount struct {
	Claim    string `json:"claim"` // its name in the namespace
	Path     string `json:"path"`  // where it is mounted
	ReadOnly bool   `json:"read_only,omitempty"`
	Access   Access `json:"access,omitempty"` // empty: ReadWriteOnce
	Disk     *Disk  `json:"disk,omitempty"`   // nil: the claim exists, and pipe does not change it
}

// A Disk is a claim that pipe creates for an environment.
type Disk struct {
	Size         string `json:"size"` // a Kubernetes quantity
	StorageClass string `json:"storage_class,omitempty"`
}

// A Scratch is an empty directory that is deleted with its pod (D11).
type Scratch struct {
	Path   string `json:"path"`             // where it is mounted
	Size   string `json:"size,omitempty"`   // the limit; empty: none
	Memory bool   `json:"memory,omitempty"` // in memory, which counts as memory of the container
}

// OtherVolumes are the volumes of a workload that are not its own claims.
type OtherVolumes struct {
	Mounts  []Mount   `json:"mounts,omitempty"`
	Scratch []Scratch `json:"scratch,omitempty"`
}

// A DiskClaim is a disk with the name of its claim.
type DiskClaim struct {
	Claim  string
	Access Access
	Disk
}

// Disks returns the disks that services of the plan mount, in the order of their first
// use.
func (p *Plan) Disks() []DiskClaim {
	var all []DiskClaim
	seen := map[string]bool{}
	for i := range p.Services {
		for _, m := range p.Services[i].Workload.Mounts {
			if m.Disk != nil && !seen[m.Claim] {
				seen[m.Claim] = true
				all = append(all, DiskClaim{m.Claim, m.Access, *m.Disk})
			}
		}
	}
	return all
}
