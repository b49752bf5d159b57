package build

import "time"

// SetPatience sets how long a builder may be silent during a build.
func (b *Builder) SetPatience(d time.Duration) { b.pool.patience = d }
