package builtins

import "github.com/pipelinefile/pipe/plan"

// A spelling is a syntax of names, given as sets of characters. Every service has a dozen
// names to check, and a regular expression takes as long for one of them as everything
// else that a builtin does with it.
type spelling struct {
	first, middle, last chars
	most                int // maximum number of characters; 0: any number
}

// chars is a set of ASCII characters.
type chars [256]bool

// charsOf returns the characters of all ranges, each written as "az"; a single character
// is written twice, such as "__".
func charsOf(ranges ...string) (c chars) {
	for _, r := range ranges {
		for i := int(r[0]); i <= int(r[1]); i++ {
			c[i] = true
		}
	}
	return c
}

// fits reports whether s matches. The empty string never does.
func (sp *spelling) fits(s string) bool {
	n := len(s)
	if n == 0 || sp.most > 0 && n > sp.most || !sp.first[s[0]] || n > 1 && !sp.last[s[n-1]] {
		return false
	}
	for i := 1; i < n-1; i++ {
		if !sp.middle[s[i]] {
			return false
		}
	}
	return true
}

var (
	small   = charsOf("az", "09")
	letters = charsOf("az", "AZ", "09")

	dnsLabel    = spelling{first: small, middle: charsOf("az", "09", "--"), last: small}
	labelPrefix = spelling{first: small, middle: charsOf("az", "09", "--", ".."), last: small, most: plan.MaxSubdomain}
	headerName  = spelling{first: letters, middle: charsOf("az", "AZ", "09", "--"), last: letters, most: 100}
	labelWord   = spelling{first: letters, middle: charsOf("az", "AZ", "09", "--", "..", "__"), last: letters, most: plan.MaxName}
	secretName  = spelling{first: letters, middle: labelWord.middle, last: letters, most: plan.MaxSubdomain}
	envName     = spelling{first: charsOf("az", "AZ", "--", "..", "__"), middle: labelWord.middle, last: labelWord.middle}
	hostname    = spelling{first: letters, middle: charsOf("az", "AZ", "09", "--", ".."), last: letters}

	databaseName = all(charsOf("az", "AZ", "__"), charsOf("az", "AZ", "09", "__", "--"), 63)
	urlScheme    = all(charsOf("az"), charsOf("az", "09", "++", "..", "--"), 41)
	engineName   = all(small, charsOf("az", "09", "--"), 0)
	paramName    = all(charsOf("az", "AZ"), labelWord.middle, 0)
	buildTarget  = all(letters, labelWord.middle, 0)
	buildArg     = all(charsOf("az", "AZ", "__"), charsOf("az", "AZ", "09", "__"), 0)
	alphanumeric = all(letters, letters, 0)
)

// all returns the spelling of names whose characters after the first are those of rest.
func all(first, rest chars, most int) spelling {
	return spelling{first: first, middle: rest, last: rest, most: most}
}
