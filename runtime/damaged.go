package runtime

import "fmt"

// A DamagedError is an environment whose record in the store cannot be read. Its
// releases are not affected; Delete still removes the environment.
type DamagedError struct {
	Key    EnvironmentKey
	Object string // what is damaged, such as "ConfigMap shop-staging/pipe.shop.staging"
	Err    error  // the error of reading it
}

// Error names the environment, the damaged object and the error.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("environment %s of pipeline %s: %s is damaged: %v", e.Key.Name, e.Key.Pipeline, e.Object, e.Err)
}

// Unwrap returns the error of reading the object.
func (e *DamagedError) Unwrap() error { return e.Err }
