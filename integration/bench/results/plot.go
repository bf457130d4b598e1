package results

import (
	"fmt"
	"io"
	"slices"

	"github.com/baleen-project/baleen/integration/bench/chart"
)

var legends = map[string]string{
	Fork:     "Baleen",
	Stock:    "Moby on containerd",
	Differ:   "Moby on containerd, Baleen as differ",
	Driver:   "Moby on containerd, Baleen as differ and storage driver",
	Overlay2: "Moby on overlay2",
	Podman:   "podman",
	Copy:     "cp -a --reflink=auto",
	Durable:  "cp -a --reflink=auto, and sync",
	Hash:     "SHA-256",
}

// WriteSVG draws the wall times of commits and builds, a panel for each volume.
func (r *Report) WriteSVG(w io.Writer) error {
	inputs := "full sizes"
	if r.Quick {
		inputs = "smaller inputs"
	}
	c := chart.Chart{
		Title: "Time of docker commit, and of a classic build (W8)",
		Notes: []string{
			fmt.Sprintf("Medians, with lowest and highest; shorter is better; logarithmic scale. Measured in turns on %s, %s.", r.Began.Format("2006-01-02"), inputs),
			r.Machine["processor"] + ", kernel " + r.Machine["kernel"],
		},
		Floor: 0.001,
		Tick:  tick,
	}
	var shown []string
	for _, contestant := range contestants {
		if slices.ContainsFunc(r.Series, func(s *Series) bool { return s.Contestant == contestant }) {
			shown = append(shown, contestant)
			c.Legend = append(c.Legend, legends[contestant])
		}
	}
	for _, volume := range r.volumes() {
		c.Panels = append(c.Panels, r.panel(volume, shown))
	}
	for _, s := range r.Series {
		if note := s.Workload + ": " + s.Title; !slices.Contains(c.Footnotes, note) {
			c.Footnotes = append(c.Footnotes, note)
		}
	}
	return c.WriteSVG(w)
}

// tick writes a power of ten.
func tick(s float64) string {
	if s < 0.9 {
		return fmt.Sprintf("%.4g ms", s*1000)
	}
	return fmt.Sprintf("%.4g s", s)
}

func (r *Report) panel(volume string, shown []string) chart.Panel {
	panel := chart.Panel{Title: volume}
	for _, c := range r.cases(volume) {
		if !c.main() {
			continue
		}
		group := chart.Group{Label: c.name()}
		for _, contestant := range shown {
			group.Bars = append(group.Bars, r.bar(c, contestant))
		}
		panel.Groups = append(panel.Groups, group)
	}
	return panel
}

func (r *Report) bar(c Case, contestant string) chart.Bar {
	series := r.find(c, contestant)
	if series == nil {
		return chart.Bar{Text: none}
	}
	sum := series.summarize(wall)
	if sum.good == 0 {
		return chart.Bar{Text: failed}
	}
	return chart.Bar{Value: sum.median, Low: sum.low, High: sum.high, Text: seconds(sum.median)}
}
