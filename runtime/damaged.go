package runtime

import "fmt"

// A DamagedError is an environment of which the record that the store has cannot
// be read. What is deployed is as it was; Delete still removes the environment.
type DamagedError struct {
	Key    EnvironmentKey
	Object string // what is damaged, such as "ConfigMap shop-staging/pipe.shop.staging"
	Err    error  // what is wrong with it
}

// Error says which environment is damaged, where and how.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("environment %s of pipeline %s: %s is damaged: %v", e.Key.Name, e.Key.Pipeline, e.Object, e.Err)
}

// Unwrap returns what is wrong with the object.
func (e *DamagedError) Unwrap() error { return e.Err }
