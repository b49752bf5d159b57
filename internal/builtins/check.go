package builtins

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// checkName checks that name is a DNS label of at most limit characters.
func checkName(name string, limit int) *explain.Error {
	err := plan.CheckName(name, limit)
	if err == nil {
		return nil
	}
	var wrong *plan.NameError
	if !errors.As(err, &wrong) {
		return explain.Errorf("%v", err)
	}
	p := explain.Errorf("%v", wrong)
	if like := wrong.Suggestion(); like != "" {
		p.Hint = "write " + strconv.Quote(like)
	}
	return p
}

// CheckEnvironment returns an error, with a hint, if the name of an environment, or the
// namespace that is given for it, is not valid. pipeline() checks the one that the
// Pipelinefile declares.
func CheckEnvironment(ref plan.EnvironmentRef) error {
	if p := checkName(ref.Name, plan.MaxName); p != nil {
		return &explain.Error{Msg: "environment: " + p.Msg, Hint: p.Hint, Suggest: p.Suggest}
	}
	if ref.Namespace == "" {
		return nil
	}
	if p := checkName(ref.Namespace, plan.MaxName); p != nil {
		return &explain.Error{Msg: "namespace: " + p.Msg, Hint: p.Hint, Suggest: p.Suggest}
	}
	if plan.Reserved(ref.Namespace) {
		return &explain.Error{Msg: "namespace: Kubernetes reserves namespaces that begin with kube- for itself"}
	}
	return nil
}

func checkEnvName(name string) *explain.Error {
	if !envName.fits(name) {
		return explain.Errorf("%q is not a valid environment variable name", explain.Clip(name)).
			WithHint("it has letters, digits, '_', '-' and '.', and does not start with a digit")
	}
	return nil
}

// isExponent reports whether a suffix of a quantity is a power of ten, such as "e3" or "E-6".
func isExponent(suffix string) bool {
	if suffix == "" || suffix[0] != 'e' && suffix[0] != 'E' {
		return false
	}
	digits := suffix[1:]
	if digits != "" && (digits[0] == '+' || digits[0] == '-') {
		digits = digits[1:]
	}
	return explain.IsDecimal(digits, 3)
}

// cutQuantity returns the number and the suffix of a Kubernetes quantity. A quantity has
// no other parts, so no library is needed to check it.
func cutQuantity(q string) (number, suffix string, ok bool) {
	i, digits, points := 0, 0, 0
	for ; i < len(q) && (q[i] >= '0' && q[i] <= '9' || q[i] == '.'); i++ {
		if q[i] == '.' {
			points++
		} else {
			digits++
		}
	}
	number, suffix = q[:i], q[i:]
	if _, ok = suffixes[suffix]; !ok {
		ok = isExponent(suffix)
	}
	return number, suffix, ok && digits > 0 && points < 2
}

func checkQuantity(q, example string) *explain.Error {
	number, _, ok := cutQuantity(q)
	switch {
	case q == "":
		return explain.Errorf("is empty").WithHint("write, for example, %q", example)
	case !ok:
		p := explain.Errorf("%q is not a valid quantity", explain.Clip(q)).WithHint("write, for example, %q", example)
		if fixed := strings.TrimSuffix(strings.TrimSuffix(q, "b"), "B"); fixed != q {
			if _, _, ok := cutQuantity(fixed); ok {
				p.Hint = "write " + strconv.Quote(fixed)
			}
		}
		return p
	case strings.Trim(number, "0.") == "":
		return explain.Errorf("%q is zero", q)
	case quantityValue(q) >= 1<<63:
		return explain.Errorf("%q is too large for Kubernetes", explain.Clip(q)).WithHint("write, for example, %q", example)
	}
	return nil
}

// suffixes are the factors of the suffixes of quantities.
var suffixes = map[string]float64{
	"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
	"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60,
}

// quantityValue returns the value of a valid quantity, precisely enough for comparisons.
func quantityValue(q string) float64 {
	number, suffix, ok := cutQuantity(q)
	if !ok {
		return 0
	}
	factor, ok := suffixes[suffix]
	if !ok { // an exponent
		factor, _ = strconv.ParseFloat("1"+suffix, 64)
	}
	n, _ := strconv.ParseFloat(number, 64)
	return n * factor
}

// checkMemory is checkQuantity for bytes, for which "m" would mean thousandths.
func checkMemory(q, example string) *explain.Error {
	if p := checkQuantity(q, example); p != nil {
		return p
	}
	if strings.HasSuffix(q, "m") {
		return explain.Errorf("%q is in thousandths of a byte", q).WithHint("write %q", strings.TrimSuffix(q, "m")+"Mi")
	}
	number, suffix, _ := cutQuantity(q)
	if _, has := suffixes[suffix]; quantityValue(q) < 1<<20 && (suffix == "" || !has) {
		p := explain.Errorf("%q is that many bytes", explain.Clip(q)).WithHint("write, for example, %q", example)
		if suffix == "" {
			p.Hint = "write " + strconv.Quote(number+"Mi")
		}
		return p
	}
	return nil
}

func checkPort(n int) *explain.Error {
	if n < 1 || n > 65535 {
		return explain.Errorf("want 1 to 65535, got %d", n)
	}
	return nil
}

// durationArg is a duration, such as "5m" or "1h30m".
type durationArg plan.Duration

func (durationArg) TypeName() string { return "str" }

func (d *durationArg) Unpack(v starlark.Value) error {
	var text string
	if p := convert.String(&text, v); p != nil {
		if i, ok := v.(starlark.Int); ok {
			p.Hint = `write "` + i.String() + `s" for seconds, "` + i.String() + `m" for minutes`
		}
		return p
	}
	t, err := time.ParseDuration(text)
	if err != nil {
		return explain.Errorf("%q is not a valid duration", explain.Clip(text)).WithHint(`write, for example, "30s", "5m" or "1h30m"`)
	}
	if t <= 0 {
		return explain.Errorf("%q is not greater than zero", text)
	}
	*d = durationArg(t)
	return nil
}

// cronFields are the fields of a cron schedule with their bounds and names.
var cronFields = []struct {
	name     string
	min, max int
	names    []string
}{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of month", 1, 31, nil},
	{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"day of week", 0, 6, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

var cronWords = []string{"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}

// checkCron checks a schedule in the syntax of a CronJob: five fields, or a word such as
// @daily.
func checkCron(s string) *explain.Error {
	if strings.HasPrefix(s, "@") {
		if !slices.Contains(cronWords, s) {
			return explain.Errorf("unknown schedule %q", explain.Clip(s)).Near(s, cronWords, "there are "+strings.Join(cronWords, " "))
		}
		return nil
	}
	fields := strings.Fields(s)
	if word := "@" + s; slices.Contains(cronWords, word) {
		return explain.Errorf("unknown schedule %q", s).WithHint("write %q", word)
	}
	if len(fields) != len(cronFields) {
		return explain.Errorf("%q has %d fields, want 5", explain.Clip(s), len(fields)).
			WithHint(`minute, hour, day of month, month, day of week: such as "0 3 * * *" for three in the morning`)
	}
	for i, text := range fields {
		f := cronFields[i]
		for _, part := range strings.Split(text, ",") {
			if !cronPart(part, f.min, f.max, f.names) {
				if f.max == 6 && cronPart(part, f.min, 7, f.names) {
					return explain.Errorf("%q: %q is not a valid %s: Sunday is 0", s, explain.Clip(part), f.name)
				}
				return explain.Errorf("%q: %q is not a valid %s", s, explain.Clip(part), f.name).
					WithHint("%d to %d, a range such as %d-%d, *, or a step such as */5", f.min, f.max, f.min, f.max)
			}
		}
	}
	return nil
}

func cronPart(part string, low, high int, names []string) bool {
	part, every, stepped := strings.Cut(part, "/")
	if stepped {
		if n, err := strconv.Atoi(every); err != nil || n < 1 || n > high {
			return false
		}
	}
	if part == "*" || part == "?" {
		return true
	}
	from, to, ranged := strings.Cut(part, "-")
	number := func(s string) (int, bool) {
		if i := slices.Index(names, strings.ToLower(s)); i >= 0 {
			return i + low, true
		}
		n, err := strconv.Atoi(s)
		return n, err == nil && n >= low && n <= high
	}
	a, ok := number(from)
	if !ok || !ranged {
		return ok
	}
	b, ok := number(to)
	return ok && a <= b
}

// checkLabels checks that Kubernetes accepts the labels. The error is about the first
// name in alphabetical order that is wrong.
func checkLabels(labels map[string]string) (first *explain.Error) {
	var at string
	for name, value := range labels {
		if p := checkLabel(name, value); p != nil && (first == nil || name < at) {
			first, at = p, name
		}
	}
	return first
}

// ownLabels are the labels of the objects of a generated chart that the chart sets.
var ownLabels = []string{"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/name", "app.kubernetes.io/part-of", "helm.sh/chart"}

// checkOwnLabels checks that the labels are not those of the generated chart.
func checkOwnLabels(labels map[string]string) *explain.Error {
	for _, name := range ownLabels {
		if _, has := labels[name]; has {
			return explain.Errorf("the chart sets it itself").In(explain.Key(name)).WithHint("leave it out")
		}
	}
	return nil
}

func checkLabel(full, value string) *explain.Error {
	if !validKey(full) {
		return explain.Errorf("%q is not a valid label name", explain.Clip(full)).WithHint(`write, for example, "team" or "example.com/team"`)
	}
	if value != "" && !labelWord.fits(value) {
		return explain.Errorf("%q is not a valid label value", explain.Clip(value)).In(full).
			WithHint("at most 63 letters, digits, '-', '_' and '.'")
	}
	return nil
}
