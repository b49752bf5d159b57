package builtins

import (
	"cmp"
	"path"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// A Volume is the value of volume(), of scratch(), and of .at() of a disk or an existing
// claim. One of its fields is set; if none of the pointers is, it is a claim of the service.
type Volume struct {
	opaque
	plan    plan.Volume
	mount   *plan.Mount
	scratch *plan.Scratch
}

// String returns the call that makes it, without its other arguments.
func (v *Volume) String() string {
	switch {
	case v.mount != nil:
		return v.mount.Claim + ".at(" + strconv.Quote(v.mount.Path) + ")"
	case v.scratch != nil:
		return "scratch(" + strconv.Quote(v.scratch.Path) + ")"
	}
	return "volume(" + strconv.Quote(v.plan.Path) + ")"
}

// Type returns "volume".
func (v *Volume) Type() string { return "volume" }

// path returns where it is mounted.
func (v *Volume) path() string {
	switch {
	case v.mount != nil:
		return v.mount.Path
	case v.scratch != nil:
		return v.scratch.Path
	}
	return v.plan.Path
}

// exclusive reports whether the pods of only one node can mount it.
func (v *Volume) exclusive() bool { return v.scratch == nil && !v.access().Shared() }

// access returns the access mode of its claim.
func (v *Volume) access() plan.Access {
	if v.mount != nil {
		return cmp.Or(v.mount.Access, plan.ReadWriteOnce)
	}
	return cmp.Or(v.plan.Access, plan.ReadWriteOnce)
}

// claim are the parameters of a claim that pipe creates.
type claim struct {
	StorageClass string `arg:"storage_class,kw" default:"None" help:"the storage class of the claim; the cluster's default if not given"`
	Access       string `arg:"access,kw" default:"\"ReadWriteOnce\"" choices:"ReadWriteOnce|ReadWriteMany|ReadWriteOncePod" help:"which pods can mount it: ReadWriteOnce, those of one node; ReadWriteMany, all; ReadWriteOncePod, one"`
}

// plan checks the parameters.
func (a *claim) plan(c *Call) plan.VolumeClaim {
	out := plan.VolumeClaim{StorageClass: a.StorageClass}
	if a.StorageClass != "" {
		c.wrong("storage_class", checkClaimName(a.StorageClass, "a storage class"))
	}
	out.Access = access(c, a.Access)
	return out
}

// access checks an access mode; the default is the zero value.
func access(c *Call, text string) plan.Access {
	c.wrong("access", c.choice("access", text))
	if text == string(plan.ReadWriteOnce) {
		return ""
	}
	return plan.Access(text)
}

// checkClaimName checks the name of a claim or of a storage class.
func checkClaimName(name, of string) *explain.Error {
	for part := range strings.SplitSeq(name, ".") {
		if checkName(part, plan.MaxSubdomain) != nil || len(name) > plan.MaxSubdomain {
			return explain.Errorf("%q is not a valid name of %s", explain.Clip(name), of).WithHint("lower-case letters, digits, '-' and '.'")
		}
	}
	return nil
}

type volumeArgs struct {
	Path string `arg:"path" help:"where it is mounted, absolute"`
	Size string `arg:"size,kw" help:"a Kubernetes quantity, such as \"10Gi\""`
	Name string `arg:"name,kw" default:"None" help:"made from the path if not given; another name is another volume"`
	claim
}

var volumeFunc = declare("volume", "volume", "Describes storage that outlives the pods of a service.",
	func(c *Call, a *volumeArgs) (starlark.Value, error) {
		if c.Valid("path") {
			c.wrong("path", checkMountPath(a.Path))
		}
		if c.Valid("size") {
			c.wrong("size", checkMemory(a.Size, "10Gi"))
		}
		if a.Name == "" {
			a.Name = plan.NameFrom(a.Path, plan.MaxVolumeName)
			if a.Name == "" && c.Valid("path") {
				c.wrong("path", explain.Errorf("no name can be derived from %q", explain.Clip(a.Path)).WithHint("give one with name="))
			}
		} else {
			c.wrong("name", checkName(a.Name, plan.MaxVolumeName))
		}
		return &Volume{plan: plan.Volume{Name: a.Name, Path: path.Clean(a.Path), Size: a.Size, VolumeClaim: a.claim.plan(c)}}, nil
	})

type scratchArgs struct {
	Path   string `arg:"path" help:"where it is mounted, absolute, such as \"/tmp\" or \"/dev/shm\""`
	Size   string `arg:"size,kw" default:"None" help:"at most, a Kubernetes quantity; a pod that writes more is evicted"`
	Memory bool   `arg:"memory,kw" default:"False" help:"keep it in memory, as a tmpfs; it counts as memory of the container"`
}

var scratchFunc = declare("scratch", "volume", "Describes an empty directory that is deleted with its pod. It can be written to even if the file system of the container cannot.",
	func(c *Call, a *scratchArgs) (starlark.Value, error) {
		if c.Valid("path") {
			c.wrong("path", checkMountPath(a.Path))
		}
		if a.Size != "" {
			c.wrong("size", checkMemory(a.Size, "1Gi"))
		}
		return &Volume{scratch: &plan.Scratch{Path: path.Clean(a.Path), Size: a.Size, Memory: a.Memory}}, nil
	})

// A Disk is the value of disk() and existing_volume().
type Disk struct {
	opaque
	mount plan.Mount // without a path
	kind  string     // the function
	meter *bounded.Meter
}

// String returns the call that makes it.
func (d *Disk) String() string { return d.kind + "(" + strconv.Quote(d.mount.Claim) + ")" }

// Type returns "disk".
func (d *Disk) Type() string { return "disk" }

// Instead says how a disk becomes a volume.
func (d *Disk) Instead(typ string) string {
	if typ != "volume" {
		return ""
	}
	return `a disk is mounted at a path: write .at("/data")`
}

// AttrNames returns the attributes.
func (d *Disk) AttrNames() []string { return []string{"at", "name"} }

// Attr returns an attribute.
func (d *Disk) Attr(name string) (starlark.Value, error) {
	switch name {
	case "name":
		return starlark.String(d.mount.Claim), nil
	case "at":
		return starlark.NewBuiltin("at", func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			if err := d.meter.Charge(declarationKeeps); err != nil {
				return nil, err
			}
			m := d.mount
			if err := starlark.UnpackArgs("at", args, kwargs, "path", &m.Path, "read_only?", &m.ReadOnly); err != nil {
				return nil, err
			}
			if p := checkMountPath(m.Path); p != nil {
				p.Msg = "at: path: " + p.Msg
				return nil, p
			}
			m.Path = path.Clean(m.Path)
			return &Volume{mount: &m}, nil
		}), nil
	}
	return nil, nil
}

type diskArgs struct {
	Name string `arg:"name" help:"the name of its claim, unique in the namespace; another name is another disk"`
	Size string `arg:"size,kw" help:"a Kubernetes quantity, such as \"10Gi\""`
	claim
}

var diskFunc = declare("disk", "disk", "Declares storage that several services can mount, with `.at(path)` in `volumes=`. It outlives all of them.",
	func(c *Call, a *diskArgs) (starlark.Value, error) {
		if c.Valid("name") {
			c.wrong("name", checkName(a.Name, plan.MaxName))
		}
		if c.Valid("size") {
			c.wrong("size", checkMemory(a.Size, "10Gi"))
		}
		options := a.claim.plan(c)
		d := &Disk{kind: "disk", meter: c.Session.Meter, mount: plan.Mount{Claim: a.Name, Access: options.Access, Disk: &plan.Disk{Size: a.Size, StorageClass: options.StorageClass}}}
		if first, taken := c.Session.disks[a.Name]; taken && c.Valid("name") {
			c.reject(c.ArgPos("name", nil), explain.Errorf("disk %q is already declared", explain.Clip(a.Name)), plan.Related{Pos: first, Message: "declared here"})
			return d, nil
		}
		c.Session.keep()
		if c.Session.disks == nil {
			c.Session.disks = map[string]plan.Pos{}
		}
		c.Session.disks[a.Name] = c.Pos()
		return d, nil
	})

type existingVolumeArgs struct {
	Claim  string `arg:"claim" help:"the name of a PersistentVolumeClaim in the namespace"`
	Access string `arg:"access,kw" default:"\"ReadWriteOnce\"" choices:"ReadWriteOnce|ReadWriteMany|ReadOnlyMany|ReadWriteOncePod" help:"the access mode that the claim has"`
}

var existingVolumeFunc = declare("existing_volume", "disk", "Refers to a PersistentVolumeClaim that exists, which services mount with `.at(path)` in `volumes=`. It is never changed or deleted.",
	func(c *Call, a *existingVolumeArgs) (starlark.Value, error) {
		if c.Valid("claim") {
			c.wrong("claim", checkClaimName(a.Claim, "a claim"))
		}
		return &Disk{kind: "existing_volume", meter: c.Session.Meter, mount: plan.Mount{Claim: a.Claim, Access: access(c, a.Access)}}, nil
	})

// volumes adds the volumes and checks that their names and paths are distinct. It returns
// the claims that are not those of the service.
func (c *Call) volumes(w *plan.Workload, volumes []*Volume) (mounted []Mounted) {
	if len(volumes) == 0 {
		return nil
	}
	_ = c.Session.Meter.Charge(portSize * uint64(len(volumes)))
	names, paths := make(map[string]bool, len(volumes)), make(map[string]bool, len(volumes))
	for i, v := range volumes {
		at := v.path()
		own := v.mount == nil && v.scratch == nil
		switch {
		case own && names[v.plan.Name]:
			c.wrong("volumes", explain.Errorf("the name %q is given twice", v.plan.Name).In(i).WithHint("give it another with name="))
		case paths[at]:
			c.wrong("volumes", explain.Errorf("the path %q is given twice", at).In(i))
		}
		paths[at] = true
		switch {
		case v.mount != nil:
			w.Mounts = append(w.Mounts, *v.mount)
			mounted = append(mounted, Mounted{v.mount.Claim, v.mount.Disk != nil, v.mount.Access, c.ArgPos("volumes", i)})
		case v.scratch != nil:
			w.Scratch = append(w.Scratch, *v.scratch)
		default:
			names[v.plan.Name] = true
			w.Volumes = append(w.Volumes, v.plan)
		}
	}
	return mounted
}

// oneVolume checks that at most one pod has the volumes that only one node can mount.
func (c *Call) oneVolume(a *common) {
	replicas := int64(a.Replicas)
	n, pods := a.Values["replicas"].(int64)
	if pods {
		replicas = n
	}
	if replicas < 2 || !c.Valid("replicas") || !c.Valid("volumes") {
		return
	}
	first, what, mode := plan.Pos{}, "", plan.ReadWriteOnce
	if l, storage := a.Values["volumes"].([]any); storage {
		if len(l) == 0 {
			return
		}
		first, what = c.ArgPos("values", "volumes"), "a volume"
	}
	for i, v := range a.Volumes {
		if what == "" && v.exclusive() {
			first, what, mode = c.ArgPos("volumes", i), "a volume", v.access()
			if v.mount != nil {
				what = "the claim " + v.mount.Claim
			}
		}
	}
	if what == "" {
		return
	}
	pos := c.ArgPos("replicas", nil)
	if pods {
		pos = c.ArgPos("values", "replicas")
	}
	hint := `write replicas = 1, access = "ReadWriteMany" if its storage class has that, or use a chart whose pods have a volume each`
	c.reject(pos, explain.Errorf("replicas: %d pods cannot share %s: it is %s, and the second pod would wait for it", replicas, what, mode).WithHint("%s", hint),
		plan.Related{Pos: first, Message: "the volume is here"})
}
