package hostile

import (
	"fmt"
	"strings"
)

// collide returns programs whose keys all have one hash.
func collide() map[string]string {
	texts := collisions()
	keys := fmt.Sprintf("keys = %q.split()\n", strings.Join(texts, " "))
	json := `{\"` + strings.Join(texts, `\":1,\"`) + `\":1}`
	return map[string]string{
		"texts of one hash":            keys + "x = [{k: 1 for k in keys} for i in range(1000000)]",
		"text of one hash looked up":   keys + "d = {k: 1 for k in keys}\nx = [d[keys[-1]] for i in range(1000000)]",
		"text of one hash by name":     keys + "d = {k: 1 for k in keys}\nx = [\"%(" + texts[len(texts)-1] + ")s\" % d for i in range(1000000)]",
		"texts of one hash set":        keys + "def f():\n  d = {}\n  for i in range(1000000):\n    for k in keys:\n      d[k] = i\nf()",
		"set of texts of one hash":     keys + "x = [set(keys) for i in range(1000000)]",
		"arguments of one hash":        keys + "def g(**kw):\n  pass\nd = {k: 1 for k in keys}\nx = [g(**d) for i in range(1000000)]",
		"dict by name of one hash":     keys + "d = {k: 1 for k in keys}\nx = [dict(**d) for i in range(1000000)]",
		"JSON of one hash":             "x = [json.decode(\"" + json + "\") for i in range(100000)]",
		"YAML of one hash":             "x = [yaml.decode(\"" + json + "\") for i in range(100000)]",
		"literal of texts of one hash": "x = [{\"" + strings.Join(texts, `":1,"`) + "\":1} for i in range(100000)]",
	}
}

// collisions returns about 4 000 texts that all have one hash in the interpreter,
// which is FNV-1a of 32 bits for what is shorter than 12 bytes: beginnings and ends
// that meet in the middle.
func collisions() []string {
	const (
		prime   = 16777619
		inverse = 899433627 // of it, modulo 2³²
		n       = 1 << 22
	)
	text := func(i int) (s [5]byte) {
		for k := range s {
			s[k] = "abcdefghijklmnopqrstuvwxyz012345"[i>>(5*k)&31]
		}
		return s
	}
	ends := make([]int32, n) // by the upper bits of the state before the end
	for i := range n {
		h, s := uint32(12345), text(i)
		for k := range s {
			h = h*inverse ^ uint32(s[len(s)-1-k])
		}
		ends[h>>10] = int32(i)
	}
	var out []string
	for i := range 2 * n {
		h, s := uint32(2166136261), text(i)
		for _, c := range s {
			h = (h ^ uint32(c)) * prime
		}
		e := text(int(ends[h>>10]))
		for _, c := range e {
			h = (h ^ uint32(c)) * prime
		}
		if h == 12345 {
			out = append(out, string(s[:])+string(e[:]))
		}
	}
	return out
}
