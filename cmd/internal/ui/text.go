package ui

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// seconds formats an elapsed time: "0.4s", "12.3s", "2m05s", "1h02m".
func seconds(d time.Duration) string {
	switch {
	case d < time.Minute-50*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

// duration formats d as a Pipelinefile writes it: "5m", "1h30m".
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// clock formats the elapsed time of a run: "0:07", "12:34", "1:02:03".
func clock(d time.Duration) string {
	s := max(0, int(d/time.Second))
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// amount formats the progress of a transfer, such as "1.2 of 40.0 MB".
func amount(n, of int64) string {
	unit, name := int64(1000), "kB"
	for _, u := range []string{"MB", "GB"} {
		if max(n, of) >= unit*1000 {
			unit, name = unit*1000, u
		}
	}
	if of <= 0 {
		return fmt.Sprintf("%.1f %s", float64(n)/float64(unit), name)
	}
	return fmt.Sprintf("%.1f of %.1f %s", float64(n)/float64(unit), float64(of)/float64(unit), name)
}

// count formats a number with its noun: "1 service", "3 services".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Clean makes a line printed by a pod harmless for a terminal.
func Clean(line string) string { return clean(line) }

// clean makes a line of foreign output harmless for a terminal: it removes escape
// sequences and other control characters, and everything before the last carriage return,
// as on a terminal.
func clean(line string) string {
	line = strings.TrimRight(line, "\r\n")
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	if strings.IndexFunc(line, unicode.IsControl) < 0 {
		return line
	}
	var b strings.Builder
	for i := 0; i < len(line); {
		if n := escape(line[i:]); n > 0 {
			i += n
			continue
		}
		r, n := utf8.DecodeRuneInString(line[i:])
		switch {
		case r == '\t':
			b.WriteString("    ")
		case !unicode.IsControl(r):
			b.WriteString(line[i : i+n])
		}
		i += n
	}
	return b.String()
}

// escape returns the length of the escape sequence at the start of s, or 0.
func escape(s string) int {
	if len(s) < 2 || s[0] != 0x1b {
		return 0
	}
	switch s[1] {
	case '[': // CSI: until a byte of @ to ~
		for i := 2; i < len(s); i++ {
			if s[i] >= '@' && s[i] <= '~' {
				return i + 1
			}
		}
		return len(s)
	case ']': // OSC: until BEL or ESC \
		for i := 2; i < len(s); i++ {
			if s[i] == 0x07 {
				return i + 1
			}
			if s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\' {
				return i + 2
			}
		}
		return len(s)
	}
	return 2
}
