package runtime

import (
	"sync"
	"time"
)

// A Stream numbers events and passes them to a callback, in order and from one
// goroutine. Its queue is unbounded: a slow callback, such as a terminal, never blocks
// the run.
type Stream struct {
	call func(Event) // nil: events are dropped
	done chan struct{}

	mu     sync.Mutex
	wake   sync.Cond // of mu: the queue has grown or was closed
	queue  []Event
	seq    uint64
	closed bool
}

// NewStream starts a stream to call, which may be nil. It must be closed.
func NewStream(call func(Event)) *Stream {
	s := &Stream{call: call, done: make(chan struct{})}
	s.wake.L = &s.mu
	if call == nil {
		close(s.done)
	} else {
		go s.loop()
	}
	return s
}

// Send queues an event with the current time, about a service, a stage, or neither.
func (s *Stream) Send(stage, service string, body Body) {
	s.Forward(Event{Time: time.Now(), Stage: stage, Service: service, Body: body})
}

// Forward queues an event of another stream with a number of this one.
func (s *Stream) Forward(e Event) {
	if s.call == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	e.Seq = s.seq
	s.queue = append(s.queue, e)
	s.wake.Signal()
}

// Close returns when all events have been delivered. Send must not be called after it.
func (s *Stream) Close() {
	s.mu.Lock()
	s.closed = true
	s.wake.Signal()
	s.mu.Unlock()
	<-s.done
}

func (s *Stream) loop() {
	defer close(s.done)
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.closed {
			s.wake.Wait()
		}
		batch := s.queue
		s.queue = nil
		s.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, e := range batch {
			s.call(e)
		}
	}
}
