package deploy

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// disks creates the claims of the disks of a plan, and enlarges those that have become
// larger. A disk belongs to no release, because several services mount it (SPEC D11).
func (d *Deployer) disks(ctx context.Context, key runtime.EnvironmentKey, p *plan.Plan) error {
	want := p.Disks()
	if len(want) == 0 {
		return nil
	}
	client := d.cluster.Typed.CoreV1().PersistentVolumeClaims(key.Namespace())
	for _, disk := range want {
		claim, err := claimOf(key, disk)
		if err != nil {
			return fmt.Errorf("disk %s: %w", disk.Claim, err)
		}
		_, err = client.Create(ctx, claim, metav1.CreateOptions{FieldManager: fieldManager})
		if apierrors.IsAlreadyExists(err) {
			err = d.sameDisk(ctx, key, claim)
		}
		if err != nil {
			return fmt.Errorf("disk %s: %w", disk.Claim, d.explain(ctx, err))
		}
	}
	return nil
}

func claimOf(key runtime.EnvironmentKey, disk plan.DiskClaim) (*corev1.PersistentVolumeClaim, error) {
	size, err := resource.ParseQuantity(disk.Size)
	if err != nil {
		return nil, err
	}
	access := corev1.PersistentVolumeAccessMode(disk.Access)
	if access == "" {
		access = corev1.ReadWriteOnce
	}
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: disk.Claim, Labels: labelsOf(kindDisk, key)},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{access},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
		},
	}
	if disk.StorageClass != "" {
		claim.Spec.StorageClassName = &disk.StorageClass
	}
	return claim, nil
}

// sameDisk makes an existing claim what want says. Only its size can be changed, and it
// can only grow.
func (d *Deployer) sameDisk(ctx context.Context, key runtime.EnvironmentKey, want *corev1.PersistentVolumeClaim) error {
	client := d.cluster.Typed.CoreV1().PersistentVolumeClaims(key.Namespace())
	have, err := client.Get(ctx, want.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	switch owner := runtime.OwnerOf(have.Labels); {
	case owner == runtime.EnvironmentKey{}:
		return fmt.Errorf("the claim %s of namespace %s exists, and pipe did not create it: write existing_volume(%q), or give the disk another name", have.Name, key.Namespace(), have.Name)
	case owner != key.Owner():
		return &runtime.OwnedError{Key: key, Kind: "PersistentVolumeClaim", Name: have.Name, Owner: owner}
	case have.Labels[labelKind] != kindDisk:
		return fmt.Errorf("the claim %s of namespace %s is a volume of a service: give the disk another name, or write existing_volume(%q)", have.Name, key.Namespace(), have.Name)
	}
	if got, want := have.Spec.AccessModes, want.Spec.AccessModes; len(got) != 1 || got[0] != want[0] {
		return fmt.Errorf("its access mode is %v and cannot be changed to %v: a disk of another name is another claim, to which its data can be copied", got, want)
	}
	if got, want := have.Spec.StorageClassName, want.Spec.StorageClassName; want != nil && got != nil && *got != *want {
		return fmt.Errorf("its storage class is %s and cannot be changed to %s: a disk of another name is another claim, to which its data can be copied", *got, *want)
	}
	size := want.Spec.Resources.Requests[corev1.ResourceStorage]
	had := have.Spec.Resources.Requests[corev1.ResourceStorage]
	switch size.Cmp(had) {
	case 0:
		return nil
	case -1:
		return fmt.Errorf("it has %s, and a claim cannot shrink to %s", had.String(), size.String())
	}
	grown := have.DeepCopy()
	grown.Spec.Resources.Requests[corev1.ResourceStorage] = size
	_, err = client.Update(ctx, grown, metav1.UpdateOptions{FieldManager: fieldManager})
	return err
}
