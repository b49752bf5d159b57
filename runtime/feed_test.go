package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/pipelinefile/pipe/runtime"
)

// line is an event that carries a number in its text.
func line(n int) runtime.Event {
	return runtime.Event{Seq: 7, Body: runtime.Log{Text: fmt.Sprint(n)}}
}

// read collects events until the feed ends.
func read(ctx context.Context, f *runtime.Feed, since uint64) (texts []string, seqs []uint64, err error) {
	for e, err := range f.Since(ctx, since) {
		if err != nil {
			return texts, seqs, err
		}
		texts, seqs = append(texts, e.Body.(runtime.Log).Text), append(seqs, e.Seq)
	}
	return texts, seqs, nil
}

// TestFeedSubscribers: each subscriber gets every event once and in order, however
// early or late it comes.
func TestFeedSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const events = 1000
		var f runtime.Feed
		var wait sync.WaitGroup
		subscribe := func(since int) {
			wait.Go(func() {
				texts, seqs, err := read(t.Context(), &f, uint64(since))
				if err != nil || len(texts) != events-since {
					t.Errorf("since %d: got %d events and error %v, want %d events", since, len(texts), err, events-since)
					return
				}
				for i := range texts {
					if n := since + i + 1; texts[i] != fmt.Sprint(n) || seqs[i] != uint64(n) {
						t.Errorf("since %d: event %d has number %d and text %s", since, n, seqs[i], texts[i])
						return
					}
				}
			})
		}
		subscribe(0)
		subscribe(300) // before they exist
		for n := 1; n <= events; n++ {
			f.Event(line(n))
			if n%250 == 0 {
				synctest.Wait() // all subscribers wait for more
				subscribe(0)
				subscribe(n)
				subscribe(n - 10)
			}
		}
		f.Close()
		subscribe(0) // of a feed that has ended
		subscribe(events)
		wait.Wait()
		f.Event(line(events + 1))
		f.Close()
		if texts, _, err := read(t.Context(), &f, events); len(texts) > 0 || err != nil {
			t.Errorf("after Close: got %q and error %v", texts, err)
		}
	})
}

// TestFeedConcurrentRuns: the events of several runs get numbers without gaps.
func TestFeedConcurrentRuns(t *testing.T) {
	var f runtime.Feed
	var runs sync.WaitGroup
	for range 4 {
		runs.Go(func() {
			for n := range 500 {
				f.Event(line(n))
			}
		})
	}
	seen := make(chan []uint64)
	go func() {
		_, seqs, _ := read(t.Context(), &f, 0)
		seen <- seqs
	}()
	runs.Wait()
	f.Close()
	seqs := <-seen
	if len(seqs) != 2000 {
		t.Fatalf("got %d events, want 2000", len(seqs))
	}
	for i, seq := range seqs {
		if seq != uint64(i+1) {
			t.Fatalf("event %d has number %d", i+1, seq)
		}
	}
}

// TestFeedMissed: a feed keeps a bounded number of events, and a subscriber that wants
// older ones learns which it has missed, and can continue after them.
func TestFeedMissed(t *testing.T) {
	f := runtime.Feed{Keep: 10}
	for n := 1; n <= 1000; n++ {
		f.Event(line(n))
		if n < 10 {
			continue
		}
		seq := 0
		for e, err := range f.Since(t.Context(), uint64(n-10)) { // the newest ten are always there
			if err != nil {
				t.Fatalf("event %d: %v", n, err)
			}
			if seq++; e.Seq != uint64(n-10+seq) {
				t.Fatalf("event %d: number %d as the %d. one of ten", n, e.Seq, seq)
			}
			if seq == 10 {
				break
			}
		}
	}
	_, _, err := read(t.Context(), &f, 0)
	var missed *runtime.MissedError
	if !errors.As(err, &missed) || missed.First != 1 || missed.Last < 900 || missed.Last > 990 {
		t.Fatalf("got error %v, want a MissedError of events 1 to between 900 and 990", err)
	}
	f.Close()
	texts, _, err := read(t.Context(), &f, missed.Last)
	if err != nil || len(texts) != 1000-int(missed.Last) || texts[0] != fmt.Sprint(missed.Last+1) {
		t.Errorf("since %d: got %q and error %v", missed.Last, texts, err)
	}
}

// TestFeedCancelled: a subscriber that waits ends with its context, and the feed goes
// on without it.
func TestFeedCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f runtime.Feed
		f.Event(line(1))
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("the browser is gone")
		ended := make(chan error)
		go func() {
			_, _, err := read(ctx, &f, 0)
			ended <- err
		}()
		synctest.Wait()
		cancel(gone)
		if err := <-ended; !errors.Is(err, gone) {
			t.Errorf("got error %v, want %v", err, gone)
		}
		f.Event(line(2))
		f.Close()
		if texts, _, err := read(t.Context(), &f, 1); err != nil || len(texts) != 1 {
			t.Errorf("got %q and error %v, want one event", texts, err)
		}
	})
}

func ExampleFeed() {
	var feed runtime.Feed // give feed.Event to a run as Request.Events
	feed.Event(runtime.Event{Service: "api", Body: runtime.Log{Text: "listening"}})
	feed.Event(runtime.Event{Service: "web", Body: runtime.Log{Text: "ready"}})
	feed.Close() // when there will be no more runs

	for e, err := range feed.Since(context.Background(), 1) { // which has seen the first event
		if err != nil {
			fmt.Println(err) // a *MissedError: events are missing
			break
		}
		fmt.Println(e.Seq, e.Service, e.Body.(runtime.Log).Text)
	}
	// Output: 2 web ready
}
