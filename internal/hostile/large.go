package hostile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// deep returns programs that are nested, or have many words.
func deep() map[string]string {
	return map[string]string{
		"calls of calls":     "def f0():\n  pass\n" + chain(21_000) + "f20999()\n",
		"elif of elif":       "if 0:\n pass\n" + strings.Repeat("elif 0:\n pass\n", 200_000),
		"source of brackets": "x = " + strings.Repeat("(", 3<<20),
		"source of not":      "x = " + strings.Repeat("not ", 900_000) + "1",
		"source of minus":    "x = " + strings.Repeat("-", 3<<20) + "1",
		"source of lambdas":  "x = " + strings.Repeat("lambda a,b:", 300_000) + "1",
		"source of sums":     "x = 1" + strings.Repeat("+1", 1_900_000),
		"source of dots":     "x = a" + strings.Repeat(".a", 1_900_000),
		"source of else":     "x = 1" + strings.Repeat(" if 1 else 1", 300_000),
		"source of names":    strings.Repeat("x\n", 74_000),
		"source of values":   strings.Repeat("x=1\n", 49_000) + "fail()",
		"source of all":      strings.Repeat("x\n", 1_900_000),
		"source of calls":    "x = f" + strings.Repeat("()", 1<<20),
		"source of indexes":  "x = f" + strings.Repeat("[0]", 1<<20),
		"source of a NUL":    "\x00\ncontainer('a', image = 'x:1')\n",
		"source of 50 MB":    "x = '" + strings.Repeat("a", 50_000_000) + "'\n",
		"declarations at the end of many calls": `def f0():
    for i in range(100000):
        skip("a")
        stage("s%d" % i)
        container("c%d" % i, image = "x:1")
` + chain(900) + "f899()\n",
		"mistakes at the end of many calls": `def f0():
    for i in range(100000):
        container("c%d" % i, imag = "x:1")
` + chain(900) + "f899()\n",
	}
}

// chain returns functions f1 to f(n-1), of which each calls the one before it.
func chain(n int) string {
	var b strings.Builder
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "def f%d():\n  f%d()\n", i, i-1)
	}
	return b.String()
}

// many returns programs with a mistake in each of many lines.
func many() map[string]string {
	return map[string]string{
		"lines of mistakes":         lines(20_000, "container('a%d', imag = 'x')\n"),
		"lines of duplicates":       strings.Repeat("container('a', image = 'x')\n", 20_000),
		"lines of too many":         lines(100_000, "param('p%d')\n"),
		"lines of parameters":       lines(42_000, "param('p%d')\n"),
		"lines of names":            lines(20_000, "nam%d\n"),
		"lines of stages":           lines(19_900, "container('c%[1]d', image = 'x:1', stage = 's%[1]d')\n"),
		"lines of loads":            lines(20_000, "load('@std//web.star', 'nam%d')\n"),
		"one line of mistakes":      lines(20_000, "container('a%d', imag = 'x'); ") + "\n",
		"one line of names":         lines(20_000, "nam%d; ") + "\n",
		"one call with many errors": "container('a', image = 'x:1', env = {" + lines(20_000, "'a b%d': 1, ") + "})\n",
		"one list of errors":        "container('a', image = 'x:1', ports = [" + lines(20_000, "'%d', ") + "])\n",
	}
}

// large returns programs that are correct, and almost as large as the limit of tokens allows.
func large() map[string]string {
	return map[string]string{
		"large: names":                     lines(49_000, "g%d = 1\n"),
		"large: names in functions":        lines(14_900, "def f%[1]d(a):\n    b = a\n    return 1\n"),
		"large: one line of names":         lines(74_000, "g%d = 1; ") + "\n",
		"large: one string":                "x = '" + strings.Repeat("a", 4_000_000) + "'\n",
		"large: one comment":               "# " + strings.Repeat("a", 4_000_000) + "\n",
		"large: one docstring":             `"""` + strings.Repeat("a\n", 1_900_000) + `"""` + "\n",
		"large: one list":                  "x = [" + lines(149_000, "%d, ") + "]\n",
		"large: one dict":                  "x = {" + lines(42_000, "'k%[1]d': %[1]d,\n") + "}\n",
		"large: one call":                  "x = dict(" + lines(250, "k%[1]d = %[1]d, ") + ")\n",
		"large: comments":                  lines(74_000, "# c%d\n"),
		"large: comments that silence":     lines(60_000, "# lint: ignore unused-name: reason %d\n"),
		"large: one comment that silences": "x = 1  # lint: ignore unused-name: " + strings.Repeat("lint: ", 600_000) + "\n",
		"large: empty lines":               strings.Repeat("\n", 99_000),
		"large: lines of spaces":           strings.Repeat(" \n", 99_000),
		"large: conditions":                strings.Repeat("if 1:\n    x = 1\nelse:\n    x = 2\n", 13_000),
		"large: services":                  lines(3_000, "container('c%[1]d', image = 'x:latest', env = {'A': 'b'})\n"),
		"large: loads":                     lines(20_000, "load('@std//web.star', w%d = 'site')\n"),
		"large: prints":                    lines(42_000, "print('number %d')\n"),
		"large: warnings":                  lines(20_000, "warn('number %d')\n"),
		"large: parameters":                lines(5_000, "param('p%d', default = 'x')\n"),
		"large: stages":                    lines(5_000, "stage('s%d')\n"),
		"large: a nested value":            "x = " + strings.Repeat("[", 60) + strings.Repeat("]", 60) + "\n",
	}
}
