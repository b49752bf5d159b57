package plan

import "iter"

// SecretRefs yields every secret that s refers to, with the place that refers to it, such
// as "env TOKEN". A secret that several places use is yielded for each of them. The
// credentials that a database has of its own (D6) are not references.
func (s *Service) SecretRefs() iter.Seq2[string, SecretRef] {
	return func(yield func(string, SecretRef) bool) {
		for _, e := range s.Workload.Env {
			if e.Secret != nil && !yield("env "+e.Name, *e.Secret) {
				return
			}
		}
		for in, ref := range s.Certificates() {
			if !yield(in, ref) {
				return
			}
		}
		for in, ref := range s.Workload.fileSecrets() {
			if !yield(in, ref) {
				return
			}
		}
		for in, ref := range s.Workload.containerSecrets() {
			if !yield(in, ref) {
				return
			}
		}
		for in, ref := range s.filledSecrets() {
			if !yield(in, ref) {
				return
			}
		}
	}
}
