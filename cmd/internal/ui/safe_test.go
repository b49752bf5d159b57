package ui

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pipelinefile/pipe/runtime"
)

// evil has every kind of control sequence: it sets the title and the clipboard, moves the
// cursor, clears the screen, queries the terminal, rings the bell, deletes, and hides
// text.
const evil = "\x1b]0;title\x07 \x1b]52;c;eA==\x1b\\ \x1b[2J\x1b[1;1H \x1b[6n \x1bc \x1bP1$r\x1b\\ \a \b\b \x7f \u009b2J \r overwritten \x00 \x0e"

// acts matches control characters and sequences, except colours.
var acts = regexp.MustCompile(`[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f\x{80}-\x{9f}]|\x1b($|[^\[]|\[[0-9;:]*($|[^0-9;:m]))`)

func checkHarmless(t *testing.T, what, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s: not valid UTF-8: %q", what, text)
	}
	if found := acts.FindString(text); found != "" {
		t.Errorf("%s: %q acts on a terminal in %q", what, found, text)
	}
}

func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "",
		"plain text, é 🙂\n\ttab\n":               "plain text, é 🙂\n\ttab\n",
		"\x1b]0;title\x07":                       "␛]0;title␇",
		"\x1b[2J\x1b[1;1Hx":                      "␛[2J␛[1;1Hx",
		"\x1b[31mred\x1b[0m":                     "\x1b[31mred\x1b[0m",
		"\x1b[31mred\nnext":                      "\x1b[31mred\x1b[0m\nnext",
		"\x1b[1;38;5;200mend":                    "\x1b[1;38;5;200mend\x1b[0m",
		"\x1b[38:2::1:2:3mx\x1b[m":               "\x1b[38:2::1:2:3mx\x1b[m",
		"\x1b[8mhidden":                          "␛[8mhidden",
		"\x1b[0;5mblinks":                        "␛[0;5mblinks",
		"\x1b[38;5;8mgrey":                       "\x1b[38;5;8mgrey\x1b[0m",
		"\x1b[38;5;999999999mx":                  "␛[38;5;999999999mx",
		"abc\u202edef\u2066":                     "abc\ufffddef\ufffd",
		"\x1b[31":                                "␛[31",
		"\x1b[?25l":                              "␛[?25l",
		"\x1b[" + strings.Repeat("1;", 40) + "m": "␛[" + strings.Repeat("1;", 40) + "m",
		"\x1b":                                   "␛",
		"a\x00b\x7fc":                            "a␀b␡c",
		"10%\r20%":                               "10%␍20%",
		"dos\r\nunix\n":                          "dos\nunix\n",
		"\u009b2J\u0085":                         "\ufffd2J\ufffd",
		"\x9b2J \xff":                            "\ufffd2J \ufffd",
		"\ufffd":                                 "\ufffd",
	} {
		if got := harmless(in); got != want {
			t.Errorf("harmless(%q) = %q, want %q", in, got, want)
		}
		if again := harmless(want); again != want {
			t.Errorf("harmless(%q) = %q, want it as it is", want, again)
		}
	}
	checkHarmless(t, "evil", harmless(evil))
}

// TestAnythingIsHarmless checks that no input of a Safe acts on a terminal.
func TestAnythingIsHarmless(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	parts := []string{"\x1b", "[", "]", "0", ";", "m", "H", "\x07", "\n", "\r", "\x9b", "é", "\u0090", "?", "a", "\x7f", "\x1b[3", "\x1b[31m"}
	for range 20_000 {
		var b strings.Builder
		for range r.IntN(12) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		checkHarmless(t, b.String(), harmless(b.String()))
		line := []byte(`"` + strings.ToValidUTF8(b.String(), "") + `"`)
		data, err := json.Marshal(string(line))
		if err != nil {
			t.Fatal(err)
		}
		escaped := EscapeJSON(data)
		checkHarmless(t, "JSON", string(escaped))
		var was, is string
		if json.Unmarshal(data, &was) != nil || json.Unmarshal(escaped, &is) != nil || was != is {
			t.Fatalf("EscapeJSON(%q) = %q: it is another value", data, escaped)
		}
	}
}

func TestSafe(t *testing.T) {
	var b bytes.Buffer
	s := NewSafe(NewSafe(&b))
	if n, err := s.Write([]byte("a\x1bb")); n != 3 || err != nil || b.String() != "a␛b" {
		t.Errorf("Write = %d, %v; below is %q", n, err, b.String())
	}
	if Raw(s) != &b || Raw(&b) != &b {
		t.Error("Raw does not return the stream below")
	}
	b.Reset()
	if err := Encoder(&b).Encode("<\x7f\u009b\x1b>"); err != nil || b.String() != "\"<\\u007f\\u009b\\u001b>\"\n" {
		t.Errorf("Encode = %v: %q", err, b.String())
	}
}

// evilBodies are all events, with evil in every string.
func evilBodies(t *testing.T) []runtime.Body {
	t.Helper()
	all := []runtime.Body{
		runtime.RunStarted{}, runtime.StageStarted{}, runtime.StageEnded{}, runtime.StateChanged{}, runtime.BuildStep{}, runtime.Transfer{}, runtime.TagMoved{}, runtime.Scanned{},
		runtime.Log{}, runtime.PodLog{}, runtime.PodChanged{}, runtime.WaitingFor{}, runtime.Retried{}, runtime.Adopts{}, runtime.Printed{}, runtime.Warned{}, runtime.RunEnded{},
		runtime.FilesChanged{}, runtime.WatchChanged{}, runtime.ServiceRemoved{}, runtime.Forwarding{}, runtime.Synced{},
	}
	kind := regexp.MustCompile(`(?m)^func \((\w+)\) Kind\(\) string`)
	files, err := filepath.Glob("../../../runtime/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range kind.FindAllSubmatch(src, -1) {
			if !slices.ContainsFunc(all, func(b runtime.Body) bool { return reflect.TypeOf(b).Name() == string(m[1]) }) {
				t.Errorf("the event %s is not in this test", m[1])
			}
		}
	}
	for i, b := range all {
		v := reflect.New(reflect.TypeOf(b)).Elem()
		spoil(v, 0)
		all[i] = v.Interface().(runtime.Body)
	}
	return all
}

// spoil sets every string in v to evil.
func spoil(v reflect.Value, depth int) {
	if !v.CanSet() || depth > 6 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(evil)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Struct:
		for i := range v.NumField() {
			spoil(v.Field(i), depth+1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		spoil(v.Index(0), depth+1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		spoil(v.Elem(), depth+1)
	default: // contains no string
	}
}

// TestEvilEvents checks that no string of any event acts on a terminal, in any view.
func TestEvilEvents(t *testing.T) {
	for _, mode := range []Mode{Plain, JSON} {
		var out lockedBuilder
		v := New(Options{Mode: mode, Out: &out})
		showEvil(t, v)
		v.Close()
		checkHarmless(t, string(mode), out.String())
		if want := map[Mode]string{Plain: "␛]0;title␇", JSON: `\u001b]0;title`}[mode]; !strings.Contains(out.String(), want) {
			t.Errorf("%s: %q is not shown in %.2000q", mode, want, out.String())
		}
	}
	v := &ttyView{now: time.Now, styles: newStyles(true), model: newModel()}
	showEvil(t, v)
	s := &screen{view: v, width: 80, height: 24}
	checkHarmless(t, "live", s.View().Content)
	v.ending = true
	checkHarmless(t, "final", s.View().Content)
	b := &board{now: time.Now, styles: newStyles(true), model: newWatched()}
	showEvil(t, b)
	checkHarmless(t, "watch", (&drawing{board: b, width: 80, height: 24}).View().Content)
}

func showEvil(t *testing.T, v View) {
	t.Helper()
	for i, b := range evilBodies(t) {
		for _, name := range []string{"", "api" + evil} {
			v.Event(runtime.Event{Seq: uint64(i), Time: time.Now(), Stage: "one" + evil, Service: name, Body: b})
		}
	}
	v.Note("noted " + evil)
	v.Doing(evil)
}
