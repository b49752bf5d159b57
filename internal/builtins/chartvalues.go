package builtins

import (
	"fmt"
	"slices"
	"strconv"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// chartValues is the dict of values= as plain data, in which secrets and images are
// *fill: see [Call.fill].
type chartValues map[string]any

func (chartValues) TypeName() string { return "dict" }

// A fill is a secret or an image in values.
type fill struct {
	secret *plan.SecretRef
	image  *Image
	part   plan.ImagePart
}

// Unpack copies the dict.
func (o *chartValues) Unpack(v starlark.Value) (err error) {
	*o, err = dataOfDict(v, func(v starlark.Value) any {
		switch v := v.(type) {
		case *Secret:
			return &fill{secret: &v.ref}
		case *Image:
			return &fill{image: v}
		case *imagePart:
			return &fill{image: v.image, part: v.part}
		}
		return nil
	})
	return err
}

// An imagePart is the value of an attribute of an image.
type imagePart struct {
	opaque
	image *Image
	part  plan.ImagePart
}

// String returns a placeholder that names the part.
func (i *imagePart) String() string { return fmt.Sprintf("<%s of %s>", i.part, i.image) }

// Type returns "image".
func (i *imagePart) Type() string { return "image" }

// Instead says where it can be used.
func (i *imagePart) Instead(string) string { return "it can only be a value of a chart, in values =" }

// AttrNames returns the attributes.
func (i *Image) AttrNames() []string { return []string{"digest", "repository", "tag"} }

// Attr returns an attribute: a part of the reference, for the values of a chart.
func (i *Image) Attr(name string) (starlark.Value, error) {
	if slices.Contains(i.AttrNames(), name) {
		return &imagePart{image: i, part: plan.ImagePart(name)}, nil
	}
	return nil, nil
}

// fill moves the secrets and the images in the values of a chart to their places in the
// plan, and returns the values without them.
func (c *Call) fill(s *Service, values chartValues) plan.Values {
	if len(values) == 0 {
		return nil
	}
	f := &filler{call: c, service: s}
	f.dict(nil, values)
	return plan.Values(values)
}

// refuseFills reports secrets and images in the values for a generated chart.
func (c *Call) refuseFills(s *Service, values chartValues) {
	f := &filler{call: c, service: s, refuse: true}
	f.dict(nil, values)
}

type filler struct {
	call    *Call
	service *Service
	refuse  bool
}

// dict visits the entries of a dict in the order of their keys.
func (f *filler) dict(path []any, m map[string]any) {
	var parts map[*Image][]plan.ImagePart
	keys := make([]string, 0, len(m))
	for key, v := range m {
		keys = append(keys, key)
		if v, ok := v.(*fill); ok && v.part != "" {
			if parts == nil {
				parts = make(map[*Image][]plan.ImagePart)
			}
			parts[v.image] = append(parts[v.image], v.part)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		at := append(path[:len(path):len(path)], key)
		if v, ok := m[key].(*fill); ok {
			beside := parts[v.image]
			switch {
			case v.part == plan.PartTag && !slices.Contains(beside, plan.PartRepository):
				f.call.rejectAt("values", explain.Errorf("a tag of an image requires its repository").
					In(at).WithHint("add the repository, or use the digest"))
			case v.part == plan.PartTag && slices.Contains(beside, plan.PartDigest):
				f.call.rejectAt("values", explain.Errorf("both the tag and the digest are given").In(at).WithHint("leave out the tag: the digest identifies the image"))
			case v.part == plan.PartRepository && slices.Contains(beside, plan.PartTag):
				v = &fill{image: v.image, part: plan.PartJoined}
			}
			f.add(at, v)
			delete(m, key)
			continue
		}
		f.value(at, m[key])
	}
}

func (f *filler) value(path []any, v any) {
	switch v := v.(type) {
	case map[string]any:
		f.dict(path, v)
	case []any:
		for i, e := range v {
			at := append(path[:len(path):len(path)], i)
			if e, ok := e.(*fill); ok {
				f.add(at, e)
				v[i] = nil
				continue
			}
			f.value(at, e)
		}
	}
}

func (f *filler) add(path []any, v *fill) {
	if f.refuse {
		what, hint := "a secret", `write env = {"NAME": secret("…")}`
		if v.image != nil {
			what, hint = "an image", "write image = …"
		}
		f.call.rejectAt("values", explain.Errorf("the values of a generated chart cannot contain %s", what).In(path).WithHint("%s; those of helm() and of a service with chart= can", hint))
		return
	}
	out := plan.Filled{Secret: v.secret, Part: v.part}
	for _, at := range path {
		switch at := at.(type) {
		case string:
			out.Path = append(out.Path, at)
		case int:
			out.Path = append(out.Path, strconv.Itoa(at))
		}
	}
	if v.image != nil {
		out.Image = f.name(v.image)
	}
	f.service.Plan.Filled = append(f.service.Plan.Filled, out)
}

// name returns the name of an image among those of the service, and adds it if needed.
func (f *filler) name(image *Image) string {
	for _, have := range f.service.Images {
		if have.Image == image {
			return have.Name
		}
	}
	name := "image"
	if image.Owner != nil {
		name = image.Owner.Plan.Name
	}
	for n, base := 2, name; slices.ContainsFunc(f.service.Images, func(have NamedImage) bool { return have.Name == name }); n++ {
		name = base + "-" + strconv.Itoa(n)
	}
	f.service.Images = append(f.service.Images, NamedImage{name, image})
	return name
}
