package modules

import "time"

// Within returns p with other bounds of fetching one module.
func (p Project) Within(most time.Duration, bytes int64) Project {
	p.bounds = bounds{most, bytes}
	return p
}
