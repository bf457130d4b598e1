package chart_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/bench/chart"
)

func sample() chart.Chart {
	return chart.Chart{
		Title: "Time & <pause>",
		Notes: []string{"one", "two"},

		Footnotes: []string{"three"},
		Legend:    []string{"ours", "theirs"},
		Tick:      func(x float64) string { return fmt.Sprint(x, " s") },
		Panels: []chart.Panel{
			{Title: "ext4", Groups: []chart.Group{
				{Label: "W1", Bars: []chart.Bar{{Value: 0.1, Low: 0.09, High: 0.12, Text: "100 ms"}, {Value: 1, Text: "1 s"}}},
				{Label: "W2", Bars: []chart.Bar{{Value: 10, Text: "10 s"}, {Text: "failed"}}},
			}},
			{Title: "xfs", Groups: []chart.Group{{Label: "W1", Bars: []chart.Bar{{Value: 0.02, Text: "20 ms"}, {}}}}},
		},
	}
}

func draw(t *testing.T, c chart.Chart) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	decoder := xml.NewDecoder(bytes.NewReader(b.Bytes()))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatalf("no XML: %v\n%s", err, b.String())
		}
	}
}

func TestChartShowsAllOfIt(t *testing.T) {
	t.Parallel()
	svg := draw(t, sample())
	for _, want := range []string{"Time &amp; &lt;pause&gt;", ">one<", ">two<", ">three<", ">ours<", ">theirs<", ">ext4<", ">xfs<", ">W2<", ">failed<", ">100 ms<", ">0.01 s<", ">10 s<", "prefers-color-scheme: dark"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in it", want)
		}
	}
	if again := draw(t, sample()); again != svg {
		t.Error("drawn again it is different")
	}
}

func TestBarsAreLogarithmic(t *testing.T) {
	t.Parallel()
	var widths []float64
	for _, match := range regexp.MustCompile(`<rect class="b\d" x="[\d.]+" y="[\d.]+" width="([\d.]+)" height="11" rx="2"><title>`).FindAllStringSubmatch(draw(t, sample()), -1) {
		width, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		widths = append(widths, width)
	}
	// 0.1, 1, 10 and 0.02 from 0.01 to 10: one, two, three and 0.3 decades.
	want := []float64{100, 200, 300, 30.1}
	if fmt.Sprint(widths) != fmt.Sprint(want) {
		t.Errorf("bars are %v wide, want %v", widths, want)
	}
}

func TestScaleBeginsAtTheFloor(t *testing.T) {
	t.Parallel()
	c := sample()
	c.Floor = 0.1
	svg := draw(t, c)
	if strings.Contains(svg, ">0.01 s<") || !strings.Contains(svg, ">0.1 s<") || !strings.Contains(svg, ">20 ms<") {
		t.Errorf("the floor is not kept:\n%s", svg)
	}
}

func TestChartOfNothingIsAPicture(t *testing.T) {
	t.Parallel()
	for _, c := range []chart.Chart{{}, {Tick: sample().Tick, Panels: []chart.Panel{{Groups: []chart.Group{{Bars: []chart.Bar{{}}}}}}}} {
		if svg := draw(t, c); !strings.HasPrefix(svg, "<svg") {
			t.Errorf("got %s", svg)
		}
	}
}
