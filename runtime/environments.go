package runtime

// Environments is what is kept of environments. Its methods read and change that and
// nothing else, so that they need no builder, registry or deployer; the next run acts on
// it. Both fields must be set.
type Environments struct {
	Store  Store
	Locker Locker
}
