package main

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// colors are those of the contestants.
var colors = []color.Color{
	color.RGBA{9, 105, 218, 255}, color.RGBA{201, 60, 55, 255}, color.RGBA{212, 167, 44, 255},
	color.RGBA{130, 80, 223, 255}, color.RGBA{26, 127, 55, 255}, color.RGBA{191, 57, 137, 255},
	color.RGBA{175, 184, 193, 255}, color.RGBA{140, 149, 159, 255}, color.RGBA{89, 99, 110, 255},
}

const (
	barWidth   = vg.Length(7)
	groupGap   = vg.Length(10)
	panelWidth = vg.Length(420)
	lineHeight = vg.Length(13)
	margin     = vg.Length(10)

	// floor is where the scale begins at the least, in seconds: a shorter time has no
	// bar, only its text.
	floor = 0.001
)

// draw writes the chart as SVG.
func (r *report) draw(w io.Writer) error {
	plot.DefaultFont.Variant = "Sans"
	present := r.present()
	volumes := r.distinct(func(s series) (string, bool) { return s.Volume, s.shown() })
	low, high, ok := r.decades()
	if !ok {
		return fmt.Errorf("none of %d series is of a commit or build that succeeded", len(r.Series))
	}
	var plots []*plot.Plot
	groups := 0
	for _, volume := range volumes {
		p := panel{report: r, volume: volume, low: low, high: high, contestants: present}
		drawn, err := p.plot()
		if err != nil {
			return fmt.Errorf("draw panel %s: %w", volume, err)
		}
		plots = append(plots, drawn)
		groups = max(groups, len(p.labels))
	}
	head, foot := r.head(), r.foot()
	middle := vg.Length(groups)*(vg.Length(len(present))*barWidth+groupGap) + 5*lineHeight
	above, below := vg.Length(len(head)+1)*lineHeight, vg.Length(len(foot))*lineHeight
	height := middle + above + below + 2*margin
	canvas := vgsvg.New(panelWidth*vg.Length(len(volumes))+2*margin, height)
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Path())
	top := height - margin
	writeLines(all, top, head)
	writeLegend(all, top-above+lineHeight, present)
	writeLines(all, margin+below, foot)
	area := draw.Crop(all, margin, -margin, margin+below, -margin-above)
	for i, tile := range plot.Align([][]*plot.Plot{plots}, draw.Tiles{Rows: 1, Cols: len(plots)}, area)[0] {
		plots[i].Draw(tile)
	}
	_, err := canvas.WriteTo(w)
	return err
}

// present returns which of the contestants took part.
func (r *report) present() (present []int) {
	for i, c := range contestants {
		if slices.ContainsFunc(r.Series, func(s series) bool { return s.shown() && s.Contestant == c.name }) {
			present = append(present, i)
		}
	}
	return present
}

func lineStyle() text.Style {
	style := text.Style{Color: color.Black, Font: plot.DefaultFont, Handler: plot.DefaultTextHandler, YAlign: text.YTop}
	style.Font.Size = 10
	return style
}

// writeLegend writes which color is whose, in a line.
func writeLegend(c draw.Canvas, top vg.Length, present []int) {
	x, style := margin, lineStyle()
	for _, i := range present {
		swatch := vg.Rectangle{Min: vg.Point{X: x, Y: top - barWidth - 2}, Max: vg.Point{X: x + barWidth, Y: top - 2}}
		c.SetColor(colors[i])
		c.Fill(swatch.Path())
		c.FillText(style, vg.Point{X: x + barWidth + 3, Y: top}, contestants[i].legend)
		x += barWidth + style.Width(contestants[i].legend) + 15
	}
}

// writeLines writes lines of text below each other.
func writeLines(c draw.Canvas, top vg.Length, lines []string) {
	style := lineStyle()
	for i, line := range lines {
		c.FillText(style, vg.Point{X: margin, Y: top - vg.Length(i)*lineHeight}, line)
	}
}

func (r *report) head() []string {
	inputs := "full sizes"
	if r.Quick {
		inputs = "smaller inputs"
	}
	return []string{
		"Time of docker commit, and of a classic build (W8)",
		fmt.Sprintf("Medians, with lowest and highest; shorter is better; logarithmic scale. Measured in turns on %s, %s.", r.Began.Format(time.DateOnly), inputs),
		r.Machine["processor"] + ", kernel " + r.Machine["kernel"],
	}
}

// foot says what the workloads are.
func (r *report) foot() []string {
	return r.distinct(func(s series) (string, bool) { return s.Workload + ": " + s.Title, true })
}

// decades returns the powers of ten between which all times are.
func (r *report) decades() (low, high float64, ok bool) {
	least, most := math.Inf(1), 0.0
	for _, s := range r.Series {
		if values, _ := s.seconds(); s.shown() && len(values) > 0 {
			least, most = min(least, values[0]), max(most, values[len(values)-1])
		}
	}
	if most <= 0 {
		return 0, 0, false
	}
	// A bar shorter than a tenth of a decade would hardly be seen.
	low = math.Floor(math.Log10(max(floor, least*0.8)))
	return low, max(low+1, math.Ceil(math.Log10(most))), true
}

// panel draws the times on one volume.
type panel struct {
	*report
	volume      string
	low, high   float64
	labels      []string
	contestants []int
}

func (p *panel) plot() (*plot.Plot, error) {
	p.labels = p.distinct(func(s series) (string, bool) { return s.label(), s.shown() && s.Volume == p.volume })
	slices.Reverse(p.labels) // the axis goes upwards
	drawn := plot.New()
	drawn.Title.Text = p.volume
	drawn.NominalY(p.labels...)
	drawn.X.Min, drawn.X.Max = 0, p.high-p.low+0.6 // room for the text behind the longest bar
	var ticks []plot.Tick
	for decade := p.low; decade <= p.high; decade++ {
		ticks = append(ticks, plot.Tick{Value: decade - p.low, Label: scale(math.Pow(10, decade))})
	}
	drawn.X.Tick.Marker = plot.ConstantTicks(ticks)
	for place := range p.contestants {
		if err := p.bars(drawn, place); err != nil {
			return nil, err
		}
	}
	return drawn, nil
}

// at is where a time is on the scale.
func (p *panel) at(seconds float64) float64 { return max(0, math.Log10(seconds)-p.low) }

// bars draws those of one contestant.
func (p *panel) bars(drawn *plot.Plot, place int) error {
	contestant := contestants[p.contestants[place]]
	offset := barWidth * (vg.Length(len(p.contestants)-1)/2 - vg.Length(place))
	var lengths plotter.Values
	var ends plotter.XYLabels
	var ranges errorBars
	for i, label := range p.labels {
		end, text, length := 0.0, "-", 0.0
		if s, found := p.find(p.volume, label, contestant.name); found {
			values, median := s.seconds()
			text = "failed"
			if len(values) > 0 {
				low, high := p.at(values[0]), p.at(values[len(values)-1])
				length, end, text = p.at(median), high, scale(median)
				ranges.XYs = append(ranges.XYs, plotter.XY{X: length, Y: float64(i)})
				ranges.XErrors = append(ranges.XErrors, struct{ Low, High float64 }{length - low, high - length})
			}
		}
		lengths = append(lengths, length)
		ends.XYs = append(ends.XYs, plotter.XY{X: end, Y: float64(i)})
		ends.Labels = append(ends.Labels, text)
	}
	bars, err := plotter.NewBarChart(lengths, barWidth)
	if err != nil {
		return err
	}
	bars.Horizontal, bars.Offset, bars.Color, bars.LineStyle.Width = true, offset, colors[p.contestants[place]], 0
	drawn.Add(bars)
	labels, err := plotter.NewLabels(ends)
	if err != nil {
		return err
	}
	labels.Offset = vg.Point{X: 3, Y: offset}
	for i := range labels.TextStyle {
		labels.TextStyle[i].Font.Variant, labels.TextStyle[i].Font.Size, labels.TextStyle[i].YAlign = "Sans", 7, text.YCenter
	}
	drawn.Add(labels)
	return p.ranges(drawn, ranges, offset)
}

// errorBars are the medians and how far the lowest and highest are from them.
type errorBars struct {
	plotter.XYs
	plotter.XErrors
}

// ranges draws the lines from the lowest to the highest time.
func (p *panel) ranges(drawn *plot.Plot, of errorBars, offset vg.Length) error {
	if len(of.XYs) == 0 {
		return nil
	}
	lines, err := plotter.NewXErrorBars(of)
	if err != nil {
		return err
	}
	lines.CapWidth = 0
	drawn.Add(shifted{lines, offset})
	return nil
}

// shifted draws something higher than its data say.
type shifted struct {
	plot.Plotter
	by vg.Length
}

func (s shifted) Plot(c draw.Canvas, p *plot.Plot) {
	c.Min.Y += s.by
	c.Max.Y += s.by
	s.Plotter.Plot(c, p)
}

// scale writes a time with three digits.
func scale(seconds float64) string {
	if seconds < 0.9995 {
		return fmt.Sprintf("%.3g ms", seconds*1000)
	}
	return fmt.Sprintf("%.3g s", seconds)
}
