package chart

import (
	"time"

	"github.com/pipelinefile/pipe/plan"
)

type health struct {
	Kind     plan.HealthKind   `json:"kind"`
	Path     string            `json:"path,omitempty"`
	Port     int               `json:"port,omitempty"`
	Command  []string          `json:"command,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Service  string            `json:"service,omitempty"`
	Period   int64             `json:"periodSeconds,omitempty"`
	Timeout  int64             `json:"timeoutSeconds,omitempty"`
	Failures int               `json:"failureThreshold,omitempty"`
	Delay    int64             `json:"initialDelaySeconds,omitempty"`
}

func newHealth(h *plan.Health) *health {
	if h == nil {
		return nil
	}
	whole := func(d plan.Duration) int64 { return int64(time.Duration(d) / time.Second) }
	return &health{
		Kind: h.Kind, Path: h.Path, Port: h.Port, Command: h.Command, Headers: h.Headers, Service: h.Service,
		Period: whole(h.Period), Timeout: whole(h.Timeout), Failures: h.Failures, Delay: whole(h.Delay),
	}
}
