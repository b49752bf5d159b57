package reach_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/reach"
)

func targetPlan() *plan.Plan {
	tcp := func(name string, number int) plan.Port { return plan.Port{Number: number, Name: name, Protocol: "TCP"} }
	service := func(name string, kind plan.ServiceType, ports ...plan.Port) plan.Service {
		return plan.Service{Name: name, Type: kind, Workload: plan.Workload{Ports: ports}}
	}
	return &plan.Plan{Services: []plan.Service{
		service("db", plan.Database, tcp("db", 5432)),
		service("mail", plan.Container, plan.Port{Number: 80, Name: "web", Protocol: "TCP", Local: 8025}, tcp("smtp", 25)),
		service("moved", plan.Container, plan.Port{Number: 8080, Name: "http", Protocol: "TCP", Local: 3001, Exposure: plan.Exposure{Service: 80}}, plan.Port{Number: 81, Name: "admin", Protocol: "TCP", Exposure: plan.Exposure{Service: 8080}}),
		service("web", plan.Application, tcp("http", 8080), plan.Port{Number: 8443, Name: "quic", Protocol: "UDP"}, tcp("https", 8443)),
		service("dns", plan.Container, plan.Port{Number: 53, Name: "dns", Protocol: "UDP"}),
		service("migrate", plan.Job),
	}}
}

func TestParseTargets(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		targets []string
		want    []reach.Target
		err     string
	}{
		{"service", []string{"web"}, []reach.Target{{"web", 8080, 0}, {"web", 8443, 0}}, ""},
		{"number", []string{"web:8443"}, []reach.Target{{"web", 8443, 0}}, ""},
		{"name", []string{"web:http=3000", "db:db"}, []reach.Target{{"web", 8080, 3000}, {"db", 5432, 0}}, ""},
		{"undeclared", []string{"web:5005"}, []reach.Target{{"web", 5005, 0}}, ""},
		{"twice", []string{"web:http", "web:8080"}, []reach.Target{{"web", 8080, 0}}, ""},
		{"two local ports", []string{"web:http=1", "web:http=2"}, []reach.Target{{"web", 8080, 1}, {"web", 8080, 2}}, ""},
		{"declared local port", []string{"mail"}, []reach.Target{{"mail", 80, 8025}, {"mail", 25, 0}}, ""},
		{"declared local port by number", []string{"mail:80"}, []reach.Target{{"mail", 80, 8025}}, ""},
		{"another local port", []string{"mail:web=80"}, []reach.Target{{"mail", 80, 80}}, ""},
		{"of the Service", []string{"moved:80"}, []reach.Target{{"moved", 8080, 3001}}, ""},
		{"of the container before that of the Service", []string{"moved:8080"}, []reach.Target{{"moved", 8080, 3001}}, ""},
		{"no service", []string{"wbe"}, nil, `the plan has no service "wbe"`},
		{"no service with port", []string{"wbe:80"}, nil, `wbe:80: the plan has no service "wbe"`},
		{"no name", []string{":80"}, nil, `:80: the plan has no service ""`},
		{"no port", []string{"migrate"}, nil, "migrate: migrate declares no TCP port; name one, as in migrate:8080"},
		{"empty port", []string{"web:"}, nil, `web:: web has no port ""`},
		{"unknown name", []string{"web:htp"}, nil, `web:htp: web has no port "htp"`},
		{"too large", []string{"web:65536"}, nil, `web:65536: web has no port "65536"`},
		{"zero", []string{"web:0"}, nil, `web:0: web has no port "0"`},
		{"only UDP", []string{"dns"}, nil, "dns: dns declares no TCP port; name one, as in dns:8080"},
		{"UDP", []string{"dns:53"}, nil, "dns:53: port 53 of dns is UDP: only TCP ports can be forwarded"},
		{"UDP by name", []string{"web:quic"}, nil, "web:quic: port 8443 of web is UDP: only TCP ports can be forwarded"},
		{"local zero", []string{"web:http=0"}, nil, `web:http=0: "0" is not a valid port: use a number from 1 to 65535`},
		{"local name", []string{"web:http=http"}, nil, `web:http=http: "http" is not a valid port: use a number from 1 to 65535`},
		{"local empty", []string{"web:http="}, nil, `web:http=: "" is not a valid port: use a number from 1 to 65535`},
		{"local without port", []string{"web=80"}, nil, "web=80: name the port of web that the local port 80 leads to, as in web:8080=80"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := reach.ParseTargets(targetPlan(), tt.targets)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ParseTargets(%q) (-want +got):\n%s", tt.targets, diff)
			}
			switch {
			case err == nil && tt.err != "":
				t.Errorf("ParseTargets(%q): no error, want %q", tt.targets, tt.err)
			case err != nil && err.Error() != tt.err:
				t.Errorf("ParseTargets(%q): %v, want %q", tt.targets, err, tt.err)
			}
		})
	}
	_, err := reach.ParseTargets(targetPlan(), []string{"web:htp"})
	var wrong *reach.TargetError
	if !errors.As(err, &wrong) || wrong.Name != "htp" || !cmp.Equal(wrong.Candidates, []string{"http", "quic", "https"}) {
		t.Errorf("the error tells %+v", wrong)
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	got := reach.Targets(targetPlan(), func(s *plan.Service) bool { return s.Name != "db" })
	if diff := cmp.Diff([]reach.Target{{"mail", 80, 8025}, {"mail", 25, 0}, {"moved", 8080, 3001}, {"moved", 81, 0}, {"web", 8080, 0}, {"web", 8443, 0}}, got); diff != "" {
		t.Errorf("Targets (-want +got):\n%s", diff)
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		target  reach.Target
		address string
		want    string
	}{
		{reach.Target{Service: "web", Port: 8080}, "127.0.0.1:8080", "http://localhost:8080"},
		{reach.Target{Service: "web", Port: 8443}, "127.0.0.1:3000", "https://localhost:3000"},
		{reach.Target{Service: "web", Port: 8080}, "[::1]:80", "http://[::1]:80"},
		{reach.Target{Service: "web", Port: 8080}, "10.1.2.3:80", "http://10.1.2.3:80"},
		{reach.Target{Service: "db", Port: 5432}, "127.0.0.1:5432", "localhost:5432"},
		{reach.Target{Service: "gone", Port: 1}, "127.0.0.1:5432", "localhost:5432"},
	} {
		f := reach.Forward{Target: tt.target, Address: netip.MustParseAddrPort(tt.address)}
		if got := f.URL(targetPlan()); got != tt.want {
			t.Errorf("URL of %+v at %s = %q, want %q", tt.target, tt.address, got, tt.want)
		}
	}
	failed := reach.Forward{Target: reach.Target{Service: "web", Port: 8080}, State: reach.Failed, Err: errors.New("no power")}
	if diff := cmp.Diff(runtime.Forwarding{Port: 8080, State: "failed", Reason: "no power"}, failed.Event(targetPlan())); diff != "" {
		t.Errorf("Event (-want +got):\n%s", diff)
	}
	if got := (reach.Forward{Target: reach.Target{Service: "web"}}).URL(targetPlan()); got != "" {
		t.Errorf("URL of what does not listen = %q", got)
	}
}
