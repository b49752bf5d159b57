package plan

// Patches are changes of the objects of a generated chart (D26).
type Patches struct {
	Patches []Patch `json:"patches,omitempty"` // in the order in which they are applied
}

// A Patch changes the objects of a kind. It has a Merge or a JSON.
type Patch struct {
	Kind  string   `json:"kind"`
	Name  string   `json:"name,omitempty"`  // of the object; empty: all objects of the kind
	Merge Values   `json:"merge,omitempty"` // a strategic merge patch
	JSON  []Values `json:"json,omitempty"`  // the operations of a JSON patch
	Pos   Pos      `json:"pos"`             // of the call of patch()
}
