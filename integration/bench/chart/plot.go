package chart

import "math"

// plot draws one panel.
type plot struct {
	*drawing
	chart     Chart
	left, top float64
	low, high int
}

// x is where a value is on the scale.
func (p plot) x(value float64) float64 {
	share := (math.Log10(value) - float64(p.low)) / float64(p.high-p.low)
	return p.left + labelWidth + plotWidth*min(1, max(0, share))
}

// draw returns where the panel ends.
func (p plot) draw(panel Panel) float64 {
	y := p.top + lineHeight
	p.text(p.left+labelWidth, y-4, "head", "start", panel.Title)
	y += 6
	bottom := y
	for _, group := range panel.Groups {
		bottom += groupGap + float64(len(group.Bars))*(barHeight+barGap)
	}
	p.grid(y, bottom+groupGap/2)
	for _, group := range panel.Groups {
		y = p.group(group, y+groupGap)
	}
	return bottom + groupGap/2 + lineHeight
}

// grid has a line and a number for each power of ten.
func (p plot) grid(top, bottom float64) {
	for decade := p.low; decade <= p.high; decade++ {
		value := math.Pow10(decade)
		x := p.x(value)
		p.add(`<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, x, top, x, bottom)
		p.text(x, bottom+lineHeight-4, "soft", "middle", p.chart.Tick(value))
	}
}

func (p plot) group(group Group, y float64) float64 {
	middle := y + float64(len(group.Bars))*(barHeight+barGap)/2 + 3
	p.text(p.left+labelWidth-8, middle, "head", "end", group.Label)
	for i, bar := range group.Bars {
		p.bar(i, bar, y)
		y += barHeight + barGap
	}
	return y
}

func (p plot) bar(i int, bar Bar, y float64) {
	start := p.left + labelWidth
	if bar.Value <= 0 {
		p.text(start+4, y+barHeight-2, "soft", "start", bar.Text)
		return
	}
	end := p.x(bar.Value)
	p.add(`<rect class="b%d" x="%.1f" y="%.1f" width="%.1f" height="%d" rx="2"><title>%s</title></rect>`,
		i, start, y, end-start, barHeight, escape(bar.Text))
	if bar.High > bar.Low && bar.Low > 0 {
		middle := y + barHeight/2.0
		p.add(`<line class="range" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, p.x(bar.Low), middle, p.x(bar.High), middle)
		end = max(end, p.x(bar.High))
	}
	p.text(end+4, y+barHeight-2, "soft", "start", bar.Text)
}
