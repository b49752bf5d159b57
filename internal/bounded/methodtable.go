package bounded

import "go.starlark.net/starlark"

// A methodCheck runs before a method is called. If it returns a value, that value is the
// result, and the method is not called.
type methodCheck func(g *Guards, recv starlark.Value, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)

// checks are the checks of methods of built-in types. The other methods take constant
// time, and make a value of constant size.
var checks = map[string]methodCheck{
	// Methods of strings that scan the string at most once for each argument.
	"capitalize":   scanning,
	"count":        scanning,
	"endswith":     scanning,
	"find":         scanning,
	"isalnum":      scanning,
	"isalpha":      scanning,
	"isdigit":      scanning,
	"islower":      scanning,
	"isspace":      scanning,
	"istitle":      scanning,
	"isupper":      scanning,
	"lower":        scanning,
	"lstrip":       scanning,
	"partition":    scanning,
	"removeprefix": scanning,
	"removesuffix": scanning,
	"rfind":        scanning,
	"rindex":       scanning,
	"rpartition":   scanning,
	"rstrip":       scanning,
	"startswith":   scanning,
	"strip":        scanning,
	"title":        scanning,
	"upper":        scanning,

	// Methods of strings that make many strings, one string, or an iterable.
	"rsplit":         splitting,
	"split":          splitting,
	"splitlines":     splitting,
	"join":           checking((*Guards).join),
	"replace":        checking((*Guards).replace),
	"format":         checking((*Guards).format),
	"codepoint_ords": iterating,
	"codepoints":     iterating,
	"elem_ords":      iterating,
	"elems":          iterating,

	// Of strings and of lists.
	"index": indexing,

	// Methods of lists, dicts and sets.
	"append":               containing("append"),
	"clear":                containing("clear"),
	"extend":               containing("extend"),
	"get":                  containing("get"),
	"insert":               containing("insert"),
	"items":                containing("items"),
	"keys":                 containing("keys"),
	"pop":                  containing("pop"),
	"popitem":              containing("popitem"),
	"setdefault":           containing("setdefault"),
	"update":               containing("update"),
	"values":               containing("values"),
	"add":                  containing("add"),
	"difference":           containing("difference"),
	"discard":              containing("discard"),
	"intersection":         containing("intersection"),
	"issubset":             containing("issubset"),
	"issuperset":           containing("issuperset"),
	"remove":               containing("remove"),
	"symmetric_difference": containing("symmetric_difference"),
	"union":                containing("union"),
}

// Checks that several methods share.
var (
	scanning  = checking((*Guards).scan)
	splitting = checking((*Guards).split)
	iterating = checking((*Guards).elems)
)

// checking returns a check that only charges, and leaves the call to the method.
func checking(check func(g *Guards, recv starlark.Value, args starlark.Tuple, kwargs []starlark.Tuple) error) methodCheck {
	return func(g *Guards, recv starlark.Value, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return nil, check(g, recv, args, kwargs)
	}
}

// containing returns the check of a method of lists, dicts and sets.
func containing(name string) methodCheck {
	return func(g *Guards, recv starlark.Value, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return g.container(name, recv, args, kwargs)
	}
}

// indexing is the check of index, which strings and lists have.
func indexing(g *Guards, recv starlark.Value, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if _, ok := recv.(*starlark.List); ok {
		return g.container("index", recv, args, kwargs)
	}
	return nil, g.scan(recv, args, kwargs)
}
