package reach

import "time"

// SetTimes sets shorter timeouts. It must be called before the namespace is used.
func (n *Namespace) SetTimes(ping, silence, hold time.Duration) {
	n.times.ping, n.times.silence, n.times.stream, n.times.hold = ping, silence, silence, hold
}
