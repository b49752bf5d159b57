package chart

import (
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// DefaultKey is the key of a Secret with a single value.
const DefaultKey = "value"

// SecretKey returns the Kubernetes Secret, and the key in it, for a reference
// if the cluster is not known: the credentials of a database, or
// the Secret with the reference's name, in lower case and with hyphens instead of
// underscores, as Kubernetes requires.
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
