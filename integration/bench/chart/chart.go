package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// Chart is a picture.
type Chart struct {
	Title string
	// Notes are lines below the title.
	Notes []string
	// Legend names the bars of a group, at most six, from top to bottom.
	Legend []string
	Panels []Panel
	// Footnotes are lines below the panels.
	Footnotes []string
	// Floor is where the scale begins at the least; a smaller value has no
	// bar, only its text. Zero means that the values decide.
	Floor float64
	// Tick writes a number of the scale.
	Tick func(float64) string
}

// Panel is a column of groups with a scale of its own kind but common extent.
type Panel struct {
	Title  string
	Groups []Group
}

// Group is what belongs together.
type Group struct {
	Label string
	// Bars are as many as the legend has names.
	Bars []Bar
}

// Bar is one value. Zero means that there is none.
type Bar struct {
	Value float64
	// Low and High are the ends of its range, drawn as a thin line.
	Low, High float64
	// Text is written behind the bar, or in place of a missing one.
	Text string
}

// Sizes in pixels.
const (
	barHeight  = 11
	barGap     = 2
	groupGap   = 12
	labelWidth = 132
	plotWidth  = 300
	textWidth  = 62 // behind the longest bar
	margin     = 16
	lineHeight = 17
	swatch     = 11
	charWidth  = 6.6
)

const style = `
  svg { font: 11px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
  .paper { fill: #ffffff; } text { fill: #1f2328; } .soft { fill: #59636e; }
  .grid { stroke: #d1d9e0; } .range { stroke: #1f2328; }
  .title { font-size: 15px; font-weight: 600; } .head { font-size: 12px; font-weight: 600; }
  .b0 { fill: #0969da; } .b1 { fill: #c93c37; } .b2 { fill: #d4a72c; }
  .b3 { fill: #8250df; } .b4 { fill: #afb8c1; } .b5 { fill: #8c959f; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; } text { fill: #f0f6fc; } .soft { fill: #9198a1; }
    .grid { stroke: #3d444d; } .range { stroke: #f0f6fc; }
    .b0 { fill: #4493f8; } .b1 { fill: #f47067; } .b2 { fill: #c69026; }
    .b3 { fill: #ab7df8; } .b4 { fill: #656c76; } .b5 { fill: #848d97; }
  }
`

// drawing is the SVG as it grows.
type drawing struct {
	body bytes.Buffer
}

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(&d.body, format+"\n", args...) }

func (d *drawing) text(x, y float64, class, anchor, text string) {
	d.add(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, escape(text))
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}

// WriteSVG draws the chart.
func (c Chart) WriteSVG(w io.Writer) error {
	d := &drawing{}
	top := c.head(d)
	low, high := c.decades()
	var bottom float64
	for i, panel := range c.Panels {
		p := plot{drawing: d, chart: c, left: margin + float64(i)*panelWidth, top: top, low: low, high: high}
		bottom = max(bottom, p.draw(panel))
	}
	for _, note := range c.Footnotes {
		bottom += lineHeight
		d.text(margin, bottom, "soft", "start", note)
	}
	width := 2*margin + panelWidth*float64(max(1, len(c.Panels)))
	height := max(bottom, top) + margin
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">
<style>%s</style>
<rect class="paper" width="%.0f" height="%.0f" rx="6"/>
%s</svg>
`, width, height, width, height, escape(c.Title), style, width, height, d.body.String())
	return err
}

const panelWidth = labelWidth + plotWidth + textWidth

// head draws title, notes and legend, and returns where the panels begin.
func (c Chart) head(d *drawing) float64 {
	y := float64(margin + 12)
	d.text(margin, y, "title", "start", c.Title)
	for _, note := range c.Notes {
		y += lineHeight
		d.text(margin, y, "soft", "start", note)
	}
	y += lineHeight + 6
	x := float64(margin)
	for i, name := range c.Legend {
		d.add(`<rect class="b%d" x="%.1f" y="%.1f" width="%d" height="%d" rx="2"/>`, i, x, y-swatch+1, swatch, swatch)
		d.text(x+swatch+5, y, "soft", "start", name)
		x += swatch + 5 + charWidth*float64(utf8.RuneCountInString(name)) + 14
	}
	return y + lineHeight
}

// decades returns the powers of ten between which all values are.
func (c Chart) decades() (low, high int) {
	least, most := math.Inf(1), math.Inf(-1)
	for _, panel := range c.Panels {
		for _, group := range panel.Groups {
			for _, bar := range group.Bars {
				if bar.Value > 0 {
					least, most = min(least, max(bar.Value, c.Floor)), max(most, bar.Value, bar.High)
				}
			}
		}
	}
	if most <= 0 || math.IsInf(least, 0) {
		return 0, 1
	}
	// A bar shorter than a tenth of a decade would hardly be seen.
	low = int(math.Floor(math.Log10(max(c.Floor, least*0.8))))
	return low, max(low+1, int(math.Ceil(math.Log10(most))))
}
