package runtime

import (
	"encoding/json"
	"fmt"
	"time"
)

// MarshalJSON writes e as one flat object: seq, time, kind, run_number, stage and service,
// then the fields of its body, as docs/events.md describes them.
func (e Event) MarshalJSON() ([]byte, error) {
	if e.Body == nil {
		return nil, fmt.Errorf("event %d has no body", e.Seq)
	}
	head, err := json.Marshal(struct {
		Seq     uint64    `json:"seq"`
		Time    time.Time `json:"time"`
		Kind    string    `json:"kind"`
		Run     int       `json:"run_number,omitempty"`
		Stage   string    `json:"stage,omitempty"`
		Service string    `json:"service,omitempty"`
	}{e.Seq, e.Time, e.Body.Kind(), e.Run, e.Stage, e.Service})
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(e.Body)
	if err != nil {
		return nil, fmt.Errorf("event %d, %s: %w", e.Seq, e.Body.Kind(), err)
	}
	if len(body) <= len("{}") {
		return head, nil
	}
	return append(append(head[:len(head)-1], ','), body[1:]...), nil
}
