package main

import "time"

// silence is the maximum time without a message during a wait.
const silence = 5 * time.Second

// progress reports what the command is waiting for: immediately when it changes, and again when it
// takes long.
type progress struct {
	say         func(string, ...any)
	doing       string
	since, last time.Time
}

func (a *app) progress() *progress {
	now := time.Now()
	return &progress{say: a.say, since: now, last: now}
}

// tell reports what the command is waiting for, if it is time to. It is called continuously.
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
