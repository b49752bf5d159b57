package main

import "time"

// silence is how long nothing may be said while something is being waited for.
const silence = 5 * time.Second

// progress tells what is being waited for: at once when it changes, and again when it takes long.
type progress struct {
	say         func(string, ...any)
	doing       string
	since, last time.Time
}

func (a *app) progress() *progress {
	now := time.Now()
	return &progress{say: a.say, since: now, last: now}
}

// tell is called all the time.
func (p *progress) tell(doing string) {
	now := time.Now()
	switch {
	case doing != p.doing && doing != "":
		p.doing, p.since, p.last = doing, now, now
		p.say("%s", doing)
	case now.Sub(p.last) >= silence:
		p.last = now
		p.say("still %s (%.0f s)", p.doing, now.Sub(p.since).Seconds())
	}
}
