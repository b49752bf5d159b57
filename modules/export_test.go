package modules

import "time"

// Within returns p with these bounds for fetching one module; 0 is the default.
func (p Project) Within(most time.Duration, bytes int64) Project {
	p.bounds = bounds{most, bytes}
	return p
}
