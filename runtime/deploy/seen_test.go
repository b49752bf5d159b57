package deploy

import "testing"

// TestAsOf: a list may be as old as the last look until this process acts on the release.
// From then on, lists must be current, until a look that starts after the act.
func TestAsOf(t *testing.T) {
	var s seen
	ask := func(release, want string) {
		t.Helper()
		if got := s.asOf("shop", release); got != want {
			t.Errorf("asOf(%q) = %q, want %q", release, got, want)
		}
	}
	ask("web", "") // before any look
	s.releases("shop", "7", s.tick(), nil)
	ask("web", "7")
	s.acts("shop", "web")
	ask("web", "")
	ask("api", "7")
	s.forget("shop")
	ask("db", "7")
	looked := s.tick()    // during the act
	s.acts("shop", "web") // it ends
	s.releases("shop", "8", looked, nil)
	ask("web", "") // the list may lack what the act wrote last
	ask("api", "8")
	s.releases("shop", "9", s.tick(), nil)
	ask("web", "9")
	if got := s.asOf("other", "web"); got != "" {
		t.Errorf("asOf of a namespace that nobody has looked at = %q, want none", got)
	}
}
