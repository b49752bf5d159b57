package dockerfile_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/interp/lint/dockerfile"
	"github.com/pipelinefile/pipe/plan"
)

// TestBounds checks that the check of any Dockerfile ends, and that every
// finding has a position (L4).
func TestBounds(t *testing.T) {
	times := strings.Repeat
	for name, test := range map[string]struct {
		src  string
		want string // in a finding
		line int
	}{
		"huge line":         {"FROM scratch\nRUN " + times("x", 4<<20), "more than 1048576 bytes", 1},
		"many lines":        {"FROM scratch\n" + times("RUN x\n", 100_000), "more than 10000 lines", 10_001},
		"comments":          {times("#x\n", 300_000) + "FROM scratch\n", "more than 10000 lines", 10_001},
		"stages":            {"FROM scratch AS a\n" + times("FROM a AS a\n", 1000), "DuplicateStageName", 2},
		"ENV of itself":     {"FROM scratch\nENV A=aaaa\n" + times("ENV A=$A$A\n", 40), "the variable A would be larger", 15},
		"ARG of itself":     {"ARG A=aaaa\n" + times("arg A=${A}${A}\n", 40) + "FROM $A\n", "the variable A would be larger", 13},
		"old ENV of itself": {"FROM scratch\nENV A aaaa\n" + times("ENV A $A $A\n", 40), "the variable A would be larger", 15},
		"over lines":        {"FROM scratch\nENV A=aaaa\n" + times("ENV \\\n# more\nA=$A$A\n", 40), "the variable A would be larger", 39},
		"in turn":           {"FROM scratch\nENV A=aaaa\n" + times("ENV B=$A$A\nENV A=$B$B\n", 20), "the variable", 15},
		"large ones":        {"FROM scratch\nENV A=" + times("a", 50_000) + "\n" + times("LABEL a=$A\n", 5000), "the expanded variables", 0},
		"defaults":          {"FROM " + times("${A:-", 5000) + times("}", 5000), "more than 1000 times", 1},
		"heredocs":          {"FROM scratch\nRUN " + times("<<A ", 2000) + "\n" + times("A\n", 2000), "", 0},
		"open heredoc":      {"FROM scratch\nRUN <<A\n" + times("b\n", 5000), "unterminated heredoc", 2},
		"continued":         {"FROM scratch\nRUN " + times("x\\\n", 5000), "", 0},
		"brackets":          {"FROM scratch\nCMD " + times("[", 500_000), "", 0},
		"ONBUILD":           {"FROM scratch\n" + times("ONBUILD ", 10_000) + "RUN x\n", "", 0},
		"a frontend":        {"# syntax=evil.example.com/x\nFROM scratch\n", "", 0},
		"no text":           {times("\x00", 100_000), "", 0},
		"honest":            {"FROM scratch\nENV GOPATH=/go\n" + times("ENV PATH=$GOPATH/bin:$PATH\nENV A=$A B=$B C=\"$PATH $C\"\n", 50), "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			found, err := dockerfile.Lint(ctx, "Dockerfile", []byte(test.src), &plan.BuildSpec{})
			if errors.Is(err, context.DeadlineExceeded) || err != nil && test.want != "" {
				t.Fatal(err)
			}
			said := test.want == ""
			for _, f := range found {
				if f.Pos.Line < 1 || f.Pos.File != "Dockerfile" {
					t.Errorf("no position: %+v", f)
				}
				said = said || strings.Contains(f.Message, test.want) && (test.line == 0 || f.Pos.Line == test.line)
				if test.want == "" && strings.Contains(f.Message, "cannot be checked") {
					t.Errorf("refused: %s", f.Message)
				}
			}
			if !said {
				t.Errorf("findings %.500v, want %q on line %d", found, test.want, test.line)
			}
		})
	}
}
