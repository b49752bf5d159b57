package runtime

import (
	"sync"
	"time"
)

// A delivery hands events to a callback, in order and from one goroutine. The
// queue between is not bounded: a slow callback slows nothing but itself, and
// no work ever waits for a screen.
type delivery struct {
	call func(Event) // nil: nobody listens
	done chan struct{}

	mu     sync.Mutex
	wake   sync.Cond // of mu: the queue has grown or was closed
	queue  []Event
	seq    uint64
	closed bool
}

// deliver starts a delivery to call. It must be closed.
func deliver(call func(Event)) *delivery {
	d := &delivery{call: call, done: make(chan struct{})}
	d.wake.L = &d.mu
	if call == nil {
		close(d.done)
	} else {
		go d.loop()
	}
	return d
}

// send numbers and queues an event.
func (d *delivery) send(stage, service string, body Body) {
	if d.call == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seq++
	d.queue = append(d.queue, Event{d.seq, time.Now(), stage, service, body})
	d.wake.Signal()
}

// close returns when all events have been delivered.
func (d *delivery) close() {
	d.mu.Lock()
	d.closed = true
	d.wake.Signal()
	d.mu.Unlock()
	<-d.done
}

func (d *delivery) loop() {
	defer close(d.done)
	for {
		d.mu.Lock()
		for len(d.queue) == 0 && !d.closed {
			d.wake.Wait()
		}
		batch := d.queue
		d.queue = nil
		d.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, e := range batch {
			d.call(e)
		}
	}
}
