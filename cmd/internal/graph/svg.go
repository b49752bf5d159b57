package graph

import (
	"fmt"
	"html"
	"strings"
	"unicode/utf8"
)

// The measures of a picture, in pixels. The font is monospaced, so that the width of
// text is known.
const (
	letter  = 7.3
	boxH    = 44
	gap     = 14
	between = 60
	pad     = 16
	headH   = 34
	margin  = 20
	fewest  = 110
)

// svg draws stages as columns from left to right, and edges as curves between
// services.
func svg(b *strings.Builder, g Graph) {
	type place struct{ x, y, w float64 }
	at := make(map[string]place)
	var columns []place // of stages; y is their height
	x, height := float64(margin), 0.0
	for _, st := range g.Stages {
		w := max(fewest, letter*float64(utf8.RuneCountInString(st.Name)))
		for _, s := range st.Services {
			w = max(w, letter*float64(utf8.RuneCountInString(s.Name))+2*10)
		}
		for i, s := range st.Services {
			at[s.Name] = place{x + pad, margin + headH + float64(i)*(boxH+gap), w}
		}
		h := headH + float64(len(st.Services))*(boxH+gap) + 4
		columns = append(columns, place{x, h, w + 2*pad})
		height = max(height, h)
		x += w + 2*pad + between
	}
	width := max(x-between+margin, 2*margin)
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="monospace" font-size="12">`+"\n",
		width, height+2*margin, width, height+2*margin)
	fmt.Fprintf(b, "<title>%s</title>\n", html.EscapeString(g.Pipeline+": environment "+g.Environment))
	b.WriteString(`<style>
.stage { fill: #f4f5f7; stroke: #b8bec8 } .service { fill: #fff; stroke: #44546a } .skipped { stroke-dasharray: 4 4; fill: #fafafa }
.edge { fill: none; stroke: #6b8fd4; stroke-width: 1.2 } .then { fill: none; stroke: #44546a; stroke-width: 2 }
text { fill: #1d2530 } .type { fill: #697586; font-size: 10px } .name { font-weight: bold }
</style>
<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#44546a"/></marker></defs>
`)
	for i, st := range g.Stages {
		c := columns[i]
		fmt.Fprintf(b, `<rect class="stage" x="%.1f" y="%d" width="%.1f" height="%.1f" rx="8"/>`+"\n", c.x, margin, c.w, c.y)
		fmt.Fprintf(b, `<text class="name" x="%.1f" y="%d">%s</text>`+"\n", c.x+pad, margin+22, html.EscapeString(st.Name))
		if i > 0 {
			before := columns[i-1]
			fmt.Fprintf(b, `<path class="then" marker-end="url(#arrow)" d="M%.1f %dH%.1f"/>`+"\n", before.x+before.w, margin+17, c.x)
		}
	}
	for _, e := range g.Edges {
		from, to := at[e.From], at[e.To]
		x1, y1, x2, y2 := from.x, from.y+boxH/2, to.x+to.w, to.y+boxH/2.0
		bend := -between / 2.0
		if from.x <= to.x { // in the same stage, or a later one: around the right side
			x1, bend = from.x+from.w, between/2.0
		}
		fmt.Fprintf(b, `<path class="edge" marker-end="url(#arrow)" d="M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f"><title>%s uses the %s of %s</title></path>`+"\n",
			x1, y1, x1+bend, y1, x2+between/2.0, y2, x2, y2, html.EscapeString(e.From), e.Why, html.EscapeString(e.To))
	}
	for _, st := range g.Stages {
		for _, s := range st.Services {
			p := at[s.Name]
			class := "service"
			kind := string(s.Type)
			if s.Skipped {
				class, kind = "service skipped", kind+", skipped"
			}
			fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%d" rx="5"/>`+"\n", class, p.x, p.y, p.w, boxH)
			fmt.Fprintf(b, `<text class="name" x="%.1f" y="%.1f">%s</text>`+"\n", p.x+10, p.y+19, html.EscapeString(s.Name))
			fmt.Fprintf(b, `<text class="type" x="%.1f" y="%.1f">%s</text>`+"\n", p.x+10, p.y+34, html.EscapeString(kind))
		}
	}
	b.WriteString("</svg>\n")
}
