package dockerfile

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
)

// BuildKit does not limit its checks: their time is quadratic in the number of
// lines, and a variable that doubles its value forty times uses all memory. A
// Dockerfile beyond these limits, which nobody would write by hand, is
// therefore not checked.
const (
	maxBytes = 1 << 20
	maxLines = 10_000
	maxVars  = 1000     // references to variables in one instruction
	maxValue = 64 << 10 // the value of a variable, in bytes
	maxMade  = 16 << 20 // all expanded values, in bytes
)

// reference finds the variables in a value.
var reference = regexp.MustCompile(`\$\{?(\w+)`)

// excess returns where and why a Dockerfile exceeds the limits; line 0 if it does not.
func excess(src string) (line int, why string) {
	if len(src) > maxBytes {
		return 1, fmt.Sprintf("it has more than %d bytes", maxBytes)
	}
	v := variables{sizes: map[string]int{}}
	var instruction []string // as words
	start, n := 1, 0
	for text := range strings.Lines(src) {
		if n++; n > maxLines {
			return n, fmt.Sprintf("it has more than %d lines", maxLines)
		}
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "#") {
			continue // even between the lines of an instruction
		}
		if len(instruction) == 0 {
			start = n
		}
		rest, goesOn := strings.CutSuffix(text, `\`)
		if !goesOn { // as "# escape=`" makes it
			rest, goesOn = strings.CutSuffix(text, "`")
		}
		instruction = append(instruction, strings.Fields(rest)...)
		if goesOn || len(instruction) == 0 {
			continue
		}
		if why := v.add(instruction); why != "" {
			return start, why
		}
		instruction = instruction[:0]
	}
	if why := v.add(instruction); why != "" {
		return start, why
	}
	return 0, ""
}

// variables tracks the variables of a Dockerfile, across all stages.
type variables struct {
	sizes map[string]int // upper bounds, in bytes
	made  int            // total, so far
}

// add adds the variables that an instruction sets. It returns why the instruction exceeds a limit.
func (v *variables) add(words []string) (why string) {
	if len(words) == 0 {
		return ""
	}
	sets := strings.EqualFold(words[0], "ENV") || strings.EqualFold(words[0], "ARG")
	name, refs := "", 0
	set := map[string]int{}
	for i, w := range words[1:] {
		before, _, ok := strings.Cut(w, "=")
		if i == 0 || ok && !strings.Contains(before, "$") { // ENV name value, or name=value
			name = before
		}
		if refs += strings.Count(w, "$"); refs > maxVars {
			return fmt.Sprintf("an instruction refers to variables more than %d times", maxVars)
		}
		size := len(w) + 1
		for _, m := range reference.FindAllStringSubmatch(w, -1) {
			size += v.sizes[m[1]]
		}
		if v.made += size; v.made > maxMade {
			return fmt.Sprintf("the expanded variables would be larger than %d bytes", maxMade)
		}
		if set[name] += size; sets && set[name] > maxValue {
			return fmt.Sprintf("the variable %.60s would be larger than %d bytes", name, maxValue)
		}
	}
	if sets {
		maps.Copy(v.sizes, set)
	}
	return ""
}
