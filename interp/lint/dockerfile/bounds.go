package dockerfile

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
)

// BuildKit bounds nothing of what it checks: its time grows with the square of
// the lines, and a variable that is made of itself twice, forty times, takes all
// the memory there is. So a Dockerfile that nobody would write is not given to it.
const (
	mostBytes = 1 << 20
	mostLines = 10_000
	mostVars  = 1000     // references to variables in one instruction
	mostValue = 64 << 10 // what a variable becomes, in bytes
	mostMade  = 16 << 20 // what all instructions make of variables
)

// reference finds the variables that a value is made of.
var reference = regexp.MustCompile(`\$\{?(\w+)`)

// excess returns where and why a Dockerfile cannot be checked in bounds; line 0 if it can.
func excess(src string) (line int, why string) {
	if len(src) > mostBytes {
		return 1, fmt.Sprintf("it has more than %d bytes", mostBytes)
	}
	v := variables{sizes: map[string]int{}}
	var instruction []string // in words
	start, n := 1, 0
	for text := range strings.Lines(src) {
		if n++; n > mostLines {
			return n, fmt.Sprintf("it has more than %d lines", mostLines)
		}
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "#") {
			continue // also between the lines of an instruction
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

// variables are those of a Dockerfile, of all its stages.
type variables struct {
	sizes map[string]int // at most, in bytes
	made  int            // of them, so far
}

// add adds what an instruction sets. It returns why the instruction is too much.
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
			return fmt.Sprintf("what is made of its variables would be larger than %d bytes", mostMade)
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
