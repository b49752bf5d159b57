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
	mostBytes = 1 << 20
	mostLines = 10_000
	mostVars  = 1000     // references to variables in one instruction
	mostValue = 64 << 10 // the value of a variable, in bytes
	mostMade  = 16 << 20 // all expanded values, in bytes
)

// reference finds the variables in a value.
var reference = regexp.MustCompile(`\$\{?(\w+)`)

// excess returns where and why a Dockerfile exceeds the limits; line 0 if it does not.
func excess(src string) (line int, why string) {
	if len(src) > mostBytes {
		return 1, fmt.Sprintf("it has more than %d bytes", mostBytes)
	}
	v := variables{sizes: map[string]int{}}
	var instruction []string // as words
	start, n := 1, 0
	for text := range strings.Lines(src) {
		if n++; n > mostLines {
			return n, fmt.Sprintf("it has more than %d lines", mostLines)
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
		if refs += strings.Count(w, "$"); refs > mostVars {
			return fmt.Sprintf("an instruction refers to variables more than %d times", mostVars)
		}
		size := len(w) + 1
		for _, m := range reference.FindAllStringSubmatch(w, -1) {
			size += v.sizes[m[1]]
		}
		if v.made += size; v.made > mostMade {
			return fmt.Sprintf("the expanded variables would be larger than %d bytes", mostMade)
		}
		if set[name] += size; sets && set[name] > mostValue {
			return fmt.Sprintf("the variable %.60s would be larger than %d bytes", name, mostValue)
		}
	}
	if sets {
		maps.Copy(v.sizes, set)
	}
	return ""
}
