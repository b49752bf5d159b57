package chart

import (
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// DefaultKey is the key of a Secret that is one value.
const DefaultKey = "value"

// SecretKey returns the Kubernetes Secret, and the key in it, that a reference
// means when nothing is known of the cluster: the credentials of a database, or
// the Secret of the reference's name, in small letters and with dashes for
// underscores, as Kubernetes wants names.
func SecretKey(ref plan.SecretRef) (secret, key string) {
	if ref.Service != "" {
		return plan.CredentialsName(ref.Service), ref.Key
	}
	key = ref.Key
	if key == "" {
		key = DefaultKey
	}
	return strings.ReplaceAll(strings.ToLower(ref.Name), "_", "-"), key
}
