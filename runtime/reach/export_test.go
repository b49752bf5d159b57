package reach

import "time"

// SetTimes makes a namespace less patient, before anything is made from it.
func (n *Namespace) SetTimes(ping, silence, hold time.Duration) {
	n.times.ping, n.times.silence, n.times.stream, n.times.hold = ping, silence, silence, hold
}
