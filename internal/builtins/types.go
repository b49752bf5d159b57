package builtins

import (
	"github.com/pipelinefile/pipe/builtins"
)

// A Type describes a type of values in a Pipelinefile.
type Type struct {
	Name  string // as type() returns it
	Doc   string
	Attrs []Attr
}

// An Attr is an attribute of a value.
type Attr struct{ Name, Type, Doc string }

// Types returns our types of values, in the order of the reference.
func Types() []Type { return append([]Type(nil), types...) }

var types = []Type{
	{"service", "One deployable thing, as `application`, `container`, `job`, `database`, `helm` and `manifests` return it. Those of `helm` and `manifests` have `.name` and `.type` only.", []Attr{
		{"name", "str", "the name"},
		{"type", "str", "DATABASE, JOB, CONTAINER, APPLICATION, HELM or MANIFESTS"},
		{"image", "image", "the image, for `image=` of another service: it is then built once"},
		{"host", "str", "the host name inside the environment, the same in every environment"},
		{"port", "int", "the first port, at which other services reach it"},
		{"url", "str | secret", "`http://host:port`; of a database the address with user and password, a secret"},
		{"user", "secret", "of a database: the generated user"},
		{"password", "secret", "of a database: the generated password"},
		{"database", "str", "of a database: its name in the server"},
		{"url_for", "callable", "of a database: `url_for(form)` is the address in another form, a secret: `\"jdbc\"`, or with another scheme, such as `\"mysql2\"` or `\"postgresql+asyncpg\"`"},
	}},
	{"stage", "A named step of the pipeline.", []Attr{
		{"name", "str", "the name that it was declared with"},
		{"order", "int", "where it runs among the others"},
	}},
	{"port", "A port of a service.", []Attr{
		{"number", "int", "the number"},
		{"name", "str", "the name"},
		{"service", "int", "the port at which other services reach it"},
	}},
	{"secret", "A reference to a secret, for `env=`, `secrets=`, `files=`, the `values=` of a chart and `signing_key()`. It cannot be converted to a string: its value is not known here.", nil},
	{"signing_key", "The key that signs the images that are built, or the identity that does.", nil},
	{"signed", "A rule about which images must be signed, and by whom.", nil},
	{"scan", "How images are scanned for vulnerabilities before they are deployed.", nil},
	{"exception", "A vulnerability that is ignored until a date.", nil},
	{"image", "Where the image of a service comes from. In `values=` of a chart it is the reference, by digest.", []Attr{
		{"repository", "image", "registry and name, for `values=` of a chart"},
		{"tag", "image", "what follows the colon, for `values=` of a chart, beside the repository"},
		{"digest", "image", "the digest, for `values=` of a chart"},
	}},
	{"source", "A directory of the workspace or of a git repository.", nil},
	{"build", "How an image is built.", nil},
	{"sync", "Files that watch mode copies into running containers.", nil},
	{"chart", "A Helm chart.", nil},
	{"kustomization", "A kustomization, for `manifests`.", nil},
	{"health", "A check of whether a service is ready, has started or must be restarted.", nil},
	{"resources", "Resource requests and limits of a container.", nil},
	{"autoscale", "The autoscaling of the pods of a service.", nil},
	{"rule", "What a service may do in the Kubernetes API.", nil},
	{"disruption", "How many pods may be evicted at a time.", nil},
	{"strategy", "How pods are replaced by those of a new revision.", nil},
	{"spread", "Over what pods are distributed.", nil},
	{"volume", "Storage that a service mounts, as `volume`, `scratch` and `.at` of a disk return it.", nil},
	{"disk", "Storage that several services can mount, as `disk` and `existing_volume` return it.", []Attr{
		{"name", "str", "the name of the claim"},
		{"at", "callable", "`at(path, read_only = False)` mounts it, for `volumes=`"},
	}},
	{"variable", "Where a variable of `env=` has its value from, as `field` and `config_map` return it: it is only known in the pod.", nil},
	{"file", "A file in the container of a service.", nil},
	{"sidecar", "A container that runs beside a service, in its pods.", nil},
	{"patch", "A change of objects of a generated chart.", nil},
	{"init", "A container that runs to its end before a service starts, in each of its pods.", nil},
	{"environment", "The environment that the pipeline is evaluated for: the value of `environment`.", []Attr{
		{"name", "str", "the name"},
		{"kind", "str", "environment, clone or preview"},
		{"source", "str", "what it was cloned from, or empty"},
		{"branch", "str", "the branch of a preview, or empty"},
	}},
	{"plan", "A plan as tests see it: what `pipe plan -o json` writes. Fields that it omits are None or empty. " +
		"Plans of the same content are equal.", []Attr{
		{"version", "int", "of the format"},
		{"pipeline", "struct", "what `pipeline` declares: `.name`, `.registry`…"},
		{"environment", "struct", "`.name`, `.kind`, `.source`, `.branch`"},
		{"params", "list[struct]", "each with `.name`, `.type`, `.value`, as text…"},
		{"stages", "list[struct]", "in running order, each with `.name`, `.order`…"},
		{"services", "list[struct]", "in stage order, each with `.name`, `.type`, `.stage`, `.skip`, `.image`, `.chart`, `.values`, `.workload`…"},
		{"builds", "list[struct]", "each with `.id`, `.source`, `.dockerfile`, `.args`…"},
		{"inputs", "list[struct]", "what was read, each with `.path`, `.kind`, `.digest`"},
		{"warnings", "list[struct]", "each with `.message`, `.hint`, `.pos`…"},
		{"service", "callable", "`service(name)` returns the service of that name; the test fails if there is none"},
		{"build", "callable", "`build(id)` returns the build with that ID; the test fails if there is none"},
	}},
}

// A Name is a predeclared name that is not a function.
type Name struct{ Name, Type, Doc string }

// Names returns the predeclared names that are not functions, in the order of the
// reference.
func Names() []Name {
	return []Name{
		{"environment", "environment", "The environment that the pipeline is evaluated for."},
		{"DATABASE", "str", "The type of services of `database`, for `default_stage`."},
		{"JOB", "str", "The type of services of `job`."},
		{"CONTAINER", "str", "The type of services of `container`."},
		{"APPLICATION", "str", "The type of services of `application`."},
		{"HELM", "str", "The type of services of `helm`."},
		{"MANIFESTS", "str", "The type of services of `manifests`."},
	}
}

// Described returns the functions of Starlark's libraries that a Pipelinefile can use,
// for the reference and for editors. They are only descriptions, and are never called.
func Described() []*builtins.Func {
	one := func(name, typ, help string) builtins.Param { return builtins.Param{Name: name, Type: typ, Help: help} }
	opt := func(name, typ, def, help string) builtins.Param {
		return builtins.Param{Name: name, Type: typ, Default: def, Help: help, Keyword: true}
	}
	rest := func(name, typ, help string) builtins.Param {
		return builtins.Param{Name: name, Type: typ, Help: help, Variadic: true}
	}
	number := func(name, doc string) *builtins.Func {
		return &builtins.Func{Name: "math." + name, Doc: doc, Result: "float", Params: []builtins.Param{one("x", "float", "a number")}}
	}
	two := func(name, doc string) *builtins.Func {
		return &builtins.Func{Name: "math." + name, Doc: doc, Result: "float", Params: []builtins.Param{one("x", "float", "a number"), one("y", "float", "another")}}
	}
	prefix := []builtins.Param{opt("prefix", "str", `""`, "starts each line"), opt("indent", "str", `"\t"`, "the indentation of each level")}
	return []*builtins.Func{
		{Name: "print", Doc: "Shows values in the run's events, with the position of the call.", Result: "None", Params: []builtins.Param{
			rest("args", "value", "what to show"), opt("sep", "str", `" "`, "separates them")}},
		{Name: "struct", Doc: "Returns a value with these attributes.", Result: "struct", Params: []builtins.Param{rest("*fields", "value", "the attributes, by name")}},
		{Name: "json.encode", Doc: "Returns a value as JSON, with sorted keys.", Result: "str", Params: []builtins.Param{
			one("x", "value", "dicts with strings as keys, structs, lists, strings, numbers, True, False, None")}},
		{Name: "json.encode_indent", Doc: "Returns a value as indented JSON.", Result: "str", Params: append([]builtins.Param{one("x", "value", "as of json.encode")}, prefix...)},
		{Name: "json.decode", Doc: "Returns the value of a JSON string.", Result: "value", Params: []builtins.Param{
			one("x", "str", "the string"), {Name: "default", Type: "value", Default: "None", Help: "returned if the string is not valid JSON; that is an error if not given"}}},
		{Name: "json.indent", Doc: "Returns a JSON string with indentation.", Result: "str", Params: append([]builtins.Param{one("str", "str", "the string")}, prefix...)},
		number("ceil", "Returns the least whole number that is not less than x, as an int."),
		number("floor", "Returns the greatest whole number that is not more than x, as an int."),
		number("round", "Returns the nearest whole number, halves away from zero."),
		number("fabs", "Returns x without its sign."),
		number("sqrt", "Returns the square root."),
		number("exp", "Returns e to the power of x."),
		{Name: "math.log", Doc: "Returns the logarithm.", Result: "float", Params: []builtins.Param{
			one("x", "float", "a number"), {Name: "base", Type: "float", Default: "math.e", Help: "of the logarithm"}}},
		two("pow", "Returns x to the power of y."),
		two("mod", "Returns the remainder of x divided by y, with the sign of x."),
		two("remainder", "Returns the remainder of x divided by y, rounded to the nearest whole number."),
		two("copysign", "Returns x with the sign of y."),
		two("hypot", "Returns the length of the vector (x, y)."),
		two("atan2", "Returns the angle of the vector (y, x)."),
		number("gamma", "Returns the gamma function."),
		number("degrees", "Returns an angle in degrees."),
		number("radians", "Returns an angle in radians."),
		number("sin", "Returns the sine."), number("cos", "Returns the cosine."), number("tan", "Returns the tangent."),
		number("asin", "Returns the arc sine."), number("acos", "Returns the arc cosine."), number("atan", "Returns the arc tangent."),
		number("sinh", "Returns the hyperbolic sine."), number("cosh", "Returns the hyperbolic cosine."), number("tanh", "Returns the hyperbolic tangent."),
		number("asinh", "Returns the inverse hyperbolic sine."), number("acosh", "Returns the inverse hyperbolic cosine."),
		number("atanh", "Returns the inverse hyperbolic tangent."),
	}
}
