package runtime

import (
	"context"
	"fmt"
	"iter"
	"sync"
)

// feedKeep is how many events a [Feed] keeps by default.
const feedKeep = 10_000

// A Feed passes the events of runs to any number of subscribers, such as the
// pages of a web server. Pass [Feed.Event] to runs as Request.Events, or to watch
// mode as Options.Events. A subscriber may join late or reconnect: it names the last
// event that it has seen, and continues with the next one.
//
// The memory of a feed is bounded by Keep, and a slow subscriber never blocks a run or
// another subscriber. The zero value is ready to use. A Feed must not be
// copied.
type Feed struct {
	// Keep is the minimum number of newest events that are kept for subscribers.
	// 0: 10 000.
	Keep int

	mu     sync.Mutex
	kept   []Event       // the newest ones, in order
	seq    uint64        // of the last event
	closed bool          //
	more   chan struct{} // closed with the next event, or by Close; nil: no subscriber waits
}

// A MissedError means that a subscriber of a [Feed] has missed events, because it has
// fallen behind, or asked for older ones, by more than the feed keeps.
type MissedError struct {
	First, Last uint64 // the missed events
}

// Error names the missed events.
func (e *MissedError) Error() string {
	return fmt.Sprintf("events %d to %d are no longer kept", e.First, e.Last)
}

// Event adds an event. Its Seq is replaced by a number that counts the events of the
// feed from 1, so that a feed may have those of several runs, one after the other or
// concurrently. Events that are added after Close are dropped.
func (f *Feed) Event(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.seq++
	e.Seq = f.seq
	keep := f.Keep
	if keep <= 0 {
		keep = feedKeep
	}
	if len(f.kept) >= 2*keep { // moved rarely, so that an event costs the same on average
		f.kept = append(f.kept[:0:0], f.kept[len(f.kept)-keep:]...)
	}
	f.kept = append(f.kept, e)
	f.wake()
}

// Close ends the feed: subscribers get what they have not seen yet, and then end. It
// may be called again.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.wake()
}

// wake must be called with f.mu held.
func (f *Feed) wake() {
	if f.more != nil {
		close(f.more)
		f.more = nil
	}
}

// Since returns the events after number seq, including future ones, in order
// and without gaps: Since(ctx, 0) starts with the first event. It ends when the feed
// is closed, or with an error: a [*MissedError] if events were missed, or
// the cause of ctx. To continue after missed events, call Since with the Last of
// the error. Numbers are specific to a feed.
func (f *Feed) Since(ctx context.Context, seq uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			batch, more, err := f.after(seq)
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, e := range batch {
				if !yield(e, nil) {
					return
				}
				seq = e.Seq
			}
			switch {
			case len(batch) > 0:
				continue // it may have taken long
			case more == nil:
				return
			}
			select {
			case <-more:
			case <-ctx.Done():
				yield(Event{}, context.Cause(ctx))
				return
			}
		}
	}
}

// after returns the kept events after number seq. If there are none, more is closed
// when that changes, and nil if it cannot change.
func (f *Feed) after(seq uint64) (batch []Event, more <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if first := f.seq - uint64(len(f.kept)) + 1; seq+1 < first {
		return nil, nil, &MissedError{First: seq + 1, Last: first - 1}
	}
	if seq < f.seq {
		from := len(f.kept) - int(f.seq-seq)
		return f.kept[from:len(f.kept):len(f.kept)], nil, nil
	}
	if f.closed {
		return nil, nil, nil
	}
	if f.more == nil {
		f.more = make(chan struct{})
	}
	return nil, f.more, nil
}
