package chart

import (
	"maps"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// A Use is one use of a chart: the data for the values that pipe sets.
type Use struct {
	Pipeline, Environment string
	Service               string
	Image                 string            // by digest; empty: the chart provides its own
	Images                map[string]string // by digest: the other images of the service, by name; nil: none
	Secrets               string            // changes when the value of a secret changes; empty: it uses none
	Values                map[string]any    // of the Pipelinefile
	Filled                []Fill            // images in Values
	Hidden                []Fill            // secrets in Values
	Absent                []string          // the Secrets of other secrets in Values, which do not exist yet
}

// Whole returns the values of a release of the chart, without the chart's own values.
// They contain the secrets of u (D4). The caller may change the result.
func (c *Chart) Whole(u Use) map[string]any { return fillIn(c.Values(u), u.Hidden) }

// Values returns what Whole returns, without the secrets.
func (c *Chart) Values(u Use) map[string]any {
	out := map[string]any{}
	for _, f := range c.files {
		merge(out, copyMap(f))
	}
	merge(out, c.pipeValues(u))
	merge(out, copyMap(u.Values))
	return fillIn(out, u.Filled)
}

// pipeValues returns the values that pipe sets.
func (c *Chart) pipeValues(u Use) map[string]any {
	identity := map[string]any{"pipeline": u.Pipeline, "environment": u.Environment, "service": u.Service, "image": u.Image, "secrets": u.Secrets}
	maps.DeleteFunc(identity, func(_ string, v any) bool { return v == "" })
	out := map[string]any{"global": map[string]any{"pipe": identity}}
	if u.Image != "" {
		out["image"] = imageValues(u.Image, c.own["image"])
	}
	if has, ok := c.own["images"].(map[string]any); ok && len(u.Images) > 0 {
		images := make(map[string]any, len(u.Images))
		for name, ref := range u.Images {
			if has[name] == "" { // a generated chart has each of them, without a default
				images[name] = ref
			}
		}
		out["images"] = images
	}
	if !c.schema {
		return out
	}
	known := map[string]any{}
	for key, value := range out {
		own, has := c.own[key]
		if !has {
			continue
		}
		set, isMap := value.(map[string]any)
		if own, ok := own.(map[string]any); ok && isMap {
			maps.DeleteFunc(set, func(k string, _ any) bool { _, has := own[k]; return !has })
		}
		known[key] = value
	}
	return known
}

// merge merges the values of over into into, map by map. It keeps nil values, which
// tell Helm to delete the chart's own value.
func merge(into, over map[string]any) {
	for k, v := range over {
		below, isMap := v.(map[string]any)
		if have, ok := into[k].(map[string]any); ok && isMap {
			merge(have, below)
			continue
		}
		into[k] = v
	}
}

// imageValues returns an image's reference in the form that the chart's
// templates expect, according to its own values.
//
// Most charts join repository and tag with a colon. As a release names images by
// digest (I4), repository then ends in "@sha256" and tag is the digest's hex, so
// that the colon falls where it belongs. A chart that knows digests gets the
// parts as they are, and one that knows registries the registry apart.
func imageValues(ref string, own any) any {
	if _, isText := own.(string); isText {
		return ref
	}
	has, _ := own.(map[string]any)
	repository, tag, digest := plan.CutImage(ref)
	if _, knows := has["digest"]; digest != "" && !knows {
		algorithm, hex, _ := strings.Cut(digest, ":")
		repository, tag = repository+"@"+algorithm, hex
	}
	out := map[string]any{"reference": ref, "digest": digest, "tag": tag}
	if _, knows := has["registry"]; knows {
		first, path, ok := strings.Cut(repository, "/")
		if ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
			out["registry"], repository = first, path
		}
	}
	out["repository"] = repository
	return out
}
