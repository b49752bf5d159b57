package builtins

import (
	"compress/flate"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// podFiles is the parameter for files in the container of a service.
type podFiles struct {
	Files filesArg `arg:"files,kw" default:"{}" only:"generated" help:"files in the container: for each absolute path the content, a secret or a file(); a dict of these is a directory"`
}

// The limits of the files of a service (D10). All of them are in one ConfigMap, which
// Kubernetes limits to 1 MiB. They are also, compressed, in the Secret in which Helm keeps
// the release: as a value of the chart and as a part of the object.
const (
	maxFileBytes      = 1 << 20
	maxFileCompressed = 360 << 10
)

// A File is the value of file().
type File struct {
	opaque
	plan plan.File // without a path
}

// String returns "file(…)".
func (f *File) String() string { return "file(…)" }

// Type returns "file".
func (f *File) Type() string { return "file" }

type fileArgs struct {
	Content contentArg `arg:"content" default:"None" help:"the content: text, bytes, or a secret whose value it is"`
	Source  string     `arg:"source,kw" default:"None" help:"a file of the workspace with the content, which need not be text, relative to the file of the call"`
	Mode    *int       `arg:"mode,kw" default:"None" help:"the permissions, such as 0o440; 0o644 if not given"`
}

var fileFunc = declare("file", "file", "Describes a file for `files=` that has permissions of its own, or content that is not text. A file of the workspace is an input of the plan.",
	func(c *Call, a *fileArgs) (starlark.Value, error) {
		f := &File{plan: a.Content.plan}
		switch {
		case a.Source != "" && a.Content.given:
			c.wrong("source", explain.Errorf("is given together with content"))
		case a.Source != "":
			data, err := c.fileData(a.Source)
			if err != nil {
				return nil, err
			}
			f.plan.Text, f.plan.Binary = textOr(data)
		case !a.Content.given && c.Valid("content") && c.Valid("source"):
			c.wrong("content", explain.Errorf("is missing").WithHint(`write file("text"), file(secret("name")) or file(source = "path")`))
		}
		if a.Mode != nil {
			c.wrong("mode", checkMode(*a.Mode))
			f.plan.Mode = plan.FileMode(*a.Mode)
		}
		return f, nil
	})

// checkMode checks permissions. The decimal numbers 400, 440, 444 and 500 would be valid,
// but are meant to be octal.
func checkMode(n int) *explain.Error {
	decimal := slices.Contains([]int{400, 440, 444, 500}, n)
	if n > 0 && n <= 0o777 && !decimal {
		return nil
	}
	p := explain.Errorf("want permissions from 0o001 to 0o777, got %d", n)
	if decimal || n > 0o777 && n <= 777 && !strings.ContainsAny(fmt.Sprint(n), "89") {
		p.Hint = fmt.Sprintf("permissions are octal: write mode = 0o%d", n)
	}
	return p
}

// fileData reads a file of the workspace.
func (c *Call) fileData(source string) ([]byte, error) {
	name, p := c.resolve(source)
	if p != nil {
		c.wrong("source", p)
		return nil, nil
	}
	data, err := c.Session.Files.Read(name, plan.InputFile)
	if bound(err) {
		return nil, err
	}
	if err != nil {
		c.wrong("source", c.Session.Files.problem(name, err))
	}
	return data, nil
}

// textOr returns data as the text or the binary content of a file.
func textOr(data []byte) (text string, binary []byte) {
	if utf8.Valid(data) {
		return string(data), nil
	}
	return "", data
}

// contentArg is the content of a file.
type contentArg struct {
	plan  plan.File
	given bool
}

func (contentArg) TypeName() string { return "str | bytes | secret" }

// Unpack accepts strings, bytes and secrets.
func (a *contentArg) Unpack(v starlark.Value) error {
	a.given = true
	switch v := v.(type) {
	case starlark.NoneType:
		a.given = false
	case starlark.String:
		a.plan.Text = string(v)
		if p := convert.UTF8(string(v)); p != nil {
			return p.WithHint(`write b"…" for bytes, or file(source = "path") for a file of the workspace`)
		}
	case starlark.Bytes:
		a.plan.Text, a.plan.Binary = textOr([]byte(v))
	case *Secret:
		a.plan.Secret = &v.ref
	default:
		return convert.Want("str, bytes or secret", v)
	}
	return nil
}

// filesArg is the dict of files=, sorted by path.
type filesArg []plan.File

func (filesArg) TypeName() string { return "dict[str, str | bytes | secret | file | dict]" }

// Unpack accepts a dict of paths and contents; a content that is a dict is a directory.
func (a *filesArg) Unpack(v starlark.Value) error {
	d, ok := v.(*starlark.Dict)
	if !ok {
		return convert.Want("dict", v).WithHint(`write {"/etc/app.conf": read_file("app.conf")}`)
	}
	if d.Len() == 0 {
		return nil
	}
	var out filesArg
	p := eachFile(d, func(at string, v starlark.Value) *explain.Error {
		if p := checkMountPath(at); p != nil {
			return p
		}
		if d, ok := v.(*starlark.Dict); ok {
			return out.directory(path.Clean(at), "", d, 0)
		}
		f, p := fileOf(v)
		if p == nil && strings.HasSuffix(at, "/") {
			p = explain.Errorf("is a directory, and its content is a dict").WithHint("write {%q: …}, or leave out the slash", "name")
		}
		f.Path = path.Clean(at)
		out = append(out, f)
		return p
	})
	if p != nil {
		return p
	}
	slices.SortStableFunc(out, func(a, b plan.File) int { return strings.Compare(a.Path, b.Path) })
	*a = out
	return nil
}

// directory adds the files of a dict, which are at below in the directory dir.
func (a *filesArg) directory(dir, below string, d *starlark.Dict, depth int) *explain.Error {
	if d.Len() == 0 {
		return explain.Errorf("the directory has no files").WithHint("leave it out")
	}
	if depth > maxNesting {
		return explain.Errorf("is nested deeper than %d", maxNesting)
	}
	return eachFile(d, func(name string, v starlark.Value) *explain.Error {
		if p := checkFileName(name); p != nil {
			return p
		}
		at := path.Join(below, name)
		if d, ok := v.(*starlark.Dict); ok {
			return a.directory(dir, at, d, depth+1)
		}
		f, p := fileOf(v)
		f.Path, f.Dir = path.Join(dir, at), dir
		*a = append(*a, f)
		return p
	})
}

// eachFile calls one for each entry of a dict. An error of an entry is at its whole path of
// keys.
func eachFile(d *starlark.Dict, one func(string, starlark.Value) *explain.Error) *explain.Error {
	for k, v := range d.Entries() {
		name, ok := k.(starlark.String)
		if !ok {
			return explain.Errorf("key %s: want string, got %s", explain.Clip(k.String()), k.Type())
		}
		if p := convert.Text(string(name)); p != nil {
			return p
		}
		if p := one(string(name), v); p != nil {
			inner, _ := p.At.([]any)
			return p.In(append([]any{string(name)}, inner...))
		}
	}
	return nil
}

// fileOf returns the file that has v as its content.
func fileOf(v starlark.Value) (plan.File, *explain.Error) {
	if f, ok := v.(*File); ok {
		return f.plan, nil
	}
	var a contentArg
	if _, none := v.(starlark.NoneType); none {
		return a.plan, convert.Want("str, bytes, secret, file or dict", v).WithHint("leave the file out")
	}
	if err := a.Unpack(v); err != nil {
		p := explain.Of(err)
		if _, isText := v.(starlark.String); !isText {
			p = convert.Want("str, bytes, secret, file or dict", v)
		}
		return a.plan, p
	}
	return a.plan, nil
}

// checkMountPath checks an absolute path in a container.
func checkMountPath(p string) *explain.Error {
	switch clean := path.Clean(p); {
	case !path.IsAbs(p):
		return explain.Errorf("%q is not an absolute path in the container", explain.Clip(p)).WithHint("write, for example, %q", "/"+strings.TrimPrefix(clean, "../"))
	case clean == "/":
		return explain.Errorf("%q is the whole file system of the container", explain.Clip(p))
	case strings.ContainsFunc(p, func(r rune) bool { return r == ':' || r < ' ' || r == 0x7f }):
		return explain.Errorf("%q has a character that a path of a mount cannot have", explain.Clip(p))
	default:
		return checkElements(clean)
	}
}

// checkFileName checks the name of a file in a directory, which may contain slashes.
func checkFileName(name string) *explain.Error {
	switch {
	case path.IsAbs(name):
		return explain.Errorf("%q is an absolute path, in a directory", explain.Clip(name)).WithHint("write %q", path.Base(name))
	case name == "" || path.Clean(name) != name || name == ".":
		return explain.Errorf("%q is not the name of a file", explain.Clip(name))
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return explain.Errorf("%q has a character that a file of a mount cannot have", explain.Clip(name))
	}
	return checkElements(name)
}

// checkElements checks the rules of Kubernetes for a path in a volume.
func checkElements(p string) *explain.Error {
	for elem := range strings.SplitSeq(p, "/") {
		if strings.HasPrefix(elem, "..") {
			return explain.Errorf("%q begins with two dots, which Kubernetes reserves", explain.Clip(elem))
		}
		if len(elem) > 255 {
			return explain.Errorf("%q is longer than the 255 bytes of a name", explain.Clip(elem))
		}
	}
	if len(p) > 4000 {
		return explain.Errorf("%q is longer than 4000 bytes", explain.Clip(p))
	}
	return nil
}

// files adds the files and checks what they have in common.
func (c *Call) files(w *plan.Workload, files []plan.File) {
	if len(files) == 0 {
		return
	}
	total := 0
	for i, f := range files {
		total += len(f.Text) + len(f.Binary)
		if i > 0 && f.Path == files[i-1].Path {
			c.wrong("files", explain.Errorf("the path %q is given twice", f.Path).In(explain.Key(f.Path)))
		}
	}
	// Each service has all of its files in the plan, even if services share them.
	if c.Session.Meter.Charge(uint64(portSize*len(files)+total)) != nil {
		return
	}
	c.wrong("files", tooMuch(c.Session.Meter, files, total))
	w.Files = files
}

// tooMuch checks the size of the files together.
func tooMuch(m *bounded.Meter, files []plan.File, total int) *explain.Error {
	if total > maxFileBytes {
		largest := slices.MaxFunc(files, func(a, b plan.File) int { return len(a.Text) + len(a.Binary) - len(b.Text) - len(b.Binary) })
		return explain.Errorf("they have %d bytes in total, and a ConfigMap can hold %d; the largest is %s, with %d", total, maxFileBytes, largest.Path, len(largest.Text)+len(largest.Binary)).
			WithHint("COPY large files into the image, or load them from an object store")
	}
	if total <= maxFileCompressed || m.Charge(uint64(total)) != nil {
		return nil
	}
	var size counter
	w, _ := flate.NewWriter(&size, flate.DefaultCompression) // the level is valid
	for _, f := range files {
		_, _ = io.WriteString(w, f.Text) // a counter never fails
		_, _ = w.Write(f.Binary)
	}
	_ = w.Close()
	if size <= maxFileCompressed {
		return nil
	}
	return explain.Errorf("they have %d bytes in total, and %d compressed: a Helm release contains them twice and must be smaller than 1 MiB", total, int(size)).
		WithHint("COPY large files into the image, or load them from an object store")
}

// A counter counts the bytes that are written to it.
type counter int

func (n *counter) Write(p []byte) (int, error) {
	*n += counter(len(p))
	return len(p), nil
}
