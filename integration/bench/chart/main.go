package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/perf/benchmath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: chart IN.json OUT.svg")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("read %s: %w", args[0], err)
	}
	out, err := os.Create(args[1])
	if err != nil {
		return err
	}
	return errors.Join(r.draw(out), out.Close())
}

// report is what the chart shows of results.Report.
type report struct {
	Began   time.Time         `json:"began"`
	Quick   bool              `json:"quick"`
	Machine map[string]string `json:"machine"`
	Series  []series          `json:"series"`
}

// series is one case for one contestant.
type series struct {
	Volume     string `json:"volume"`
	Workload   string `json:"workload"`
	Files      int    `json:"files"`
	Action     string `json:"action"`
	Title      string `json:"title"`
	Contestant string `json:"contestant"`
	Samples    []struct {
		Error string        `json:"error"`
		Wall  time.Duration `json:"wallNanoseconds"`
	} `json:"samples"`
}

// contestants are those of package results, in the order of the bars from the top.
var contestants = []struct{ name, legend string }{
	{"fork", "Baleen"},
	{"stock", "Moby on containerd"},
	{"differ", "Moby on containerd, Baleen as differ"},
	{"driver", "Moby on containerd, Baleen as differ and storage driver"},
	{"overlay2", "Moby on overlay2"},
	{"podman", "podman"},
	{"cp -a", "cp -a --reflink=auto"},
	{"cp -a, sync", "cp -a --reflink=auto, and sync"},
	{"SHA-256", "SHA-256"},
}

// shown reports whether the action is what the workload is for.
func (s series) shown() bool { return slices.Contains([]string{"commit", "build", "load"}, s.Action) }

// label is how a case is called in the chart.
func (s series) label() string {
	if s.Workload == "W1" {
		return fmt.Sprintf("W1, %d files", s.Files)
	}
	return s.Workload
}

// seconds returns the wall times of the samples that did not fail, in order, and their
// median. There may be none.
func (s series) seconds() (values []float64, median float64) {
	for _, sample := range s.Samples {
		if sample.Error == "" {
			values = append(values, sample.Wall.Seconds())
		}
	}
	if len(values) == 0 {
		return nil, 0
	}
	sample := benchmath.NewSample(values, &benchmath.DefaultThresholds)
	return sample.Values, benchmath.AssumeNothing.Summary(sample, 0.95).Center
}

// distinct returns what f gives for the series, each once, in their order.
func (r *report) distinct(f func(series) (string, bool)) []string {
	var all []string
	for _, s := range r.Series {
		if text, ok := f(s); ok && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

// find returns the series of a contestant, if it took part.
func (r *report) find(volume, label, contestant string) (series, bool) {
	i := slices.IndexFunc(r.Series, func(s series) bool {
		return s.shown() && s.Volume == volume && s.label() == label && s.Contestant == contestant
	})
	if i < 0 {
		return series{}, false
	}
	return r.Series[i], true
}
