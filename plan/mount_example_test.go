package plan_test

import "fmt"

const mounting = `
uploads = disk("uploads", size = "10Gi", access = "ReadWriteMany", storage_class = "nfs")
container("web", image = "nginx:1.27", volumes = [
    uploads.at("/srv", read_only = True),
    scratch("/tmp", size = "1Gi"),
    volume("/data", size = "1Gi", storage_class = "fast"),
])`

func ExampleOtherVolumes() {
	w := evaluate(mounting).Services[0].Workload
	fmt.Println(len(w.OtherVolumes.Mounts), len(w.OtherVolumes.Scratch))
	// Output: 1 1
}

func ExampleMount() {
	show(evaluate(mounting).Services[0].Workload.Mounts)
	// Output: [{"claim":"uploads","path":"/srv","read_only":true,"access":"ReadWriteMany","disk":{"size":"10Gi","storage_class":"nfs"}}]
}

func ExampleDisk() {
	show(evaluate(mounting).Services[0].Workload.Mounts[0].Disk)
	// Output: {"size":"10Gi","storage_class":"nfs"}
}

func ExampleScratch() {
	show(evaluate(mounting).Services[0].Workload.Scratch)
	// Output: [{"path":"/tmp","size":"1Gi"}]
}

func ExampleVolumeClaim() {
	show(evaluate(mounting).Services[0].Workload.Volumes[0].VolumeClaim)
	// Output: {"storage_class":"fast"}
}

func ExampleDiskClaim() {
	for _, d := range evaluate(mounting).Disks() {
		fmt.Println(d.Claim, d.Access, d.Size)
	}
	// Output: uploads ReadWriteMany 10Gi
}

func ExampleAccess_Shared() {
	m := evaluate(mounting).Services[0].Workload.Mounts[0]
	fmt.Println(m.Access.Shared())
	// Output: true
}

func ExamplePlan_Disks() {
	p := evaluate(mounting)
	fmt.Println(len(p.Disks()))
	// Output: 1
}
