package results

import (
	"slices"

	"github.com/baleen-project/baleen/integration/bench/procfs"
)

// measure is one of the figures of a sample.
type measure struct {
	title string
	// of returns the figure. It is missing where it makes no sense.
	of     func(Sample) (float64, bool)
	format func(float64) string
}

var (
	wall = measure{
		title:  "wall time",
		of:     func(s Sample) (float64, bool) { return s.Wall.Seconds(), true },
		format: seconds,
	}
	pause = measure{
		title:  "longest pause seen from inside the container",
		of:     func(s Sample) (float64, bool) { return s.Pause.Seconds(), s.Pause > 0 },
		format: seconds,
	}
	cpu = measure{
		title:  "processor time of the daemons, or of podman",
		of:     func(s Sample) (float64, bool) { return s.total().CPU.Seconds(), len(s.Usage) > 0 },
		format: seconds,
	}
	peak = measure{
		title:  "peak resident memory of all programs together, and how much more that is than before",
		of:     func(s Sample) (float64, bool) { return float64(s.total().Peak), s.total().Peak > 0 },
		format: bytes,
	}
	growth = measure{
		of:     func(s Sample) (float64, bool) { return float64(s.total().Growth), s.total().Peak > 0 },
		format: bytes,
	}
	reads = measure{
		title:  "bytes read, from files and sockets",
		of:     func(s Sample) (float64, bool) { return float64(s.total().ReadChars), len(s.Usage) > 0 },
		format: bytes,
	}
	calls = measure{
		title:  "read and write calls",
		of:     func(s Sample) (float64, bool) { return float64(s.total().Calls), s.total().Calls > 0 },
		format: func(n float64) string { return count(int(n)) },
	}
	blob = measure{
		title:  "size of the new layers' blobs",
		of:     func(s Sample) (float64, bool) { return float64(s.Blob), s.Blob > 0 },
		format: bytes,
	}
)

// total adds up what all programs used at the same time.
func (s Sample) total() procfs.Usage {
	var sum procfs.Usage
	for _, usage := range s.Usage {
		peak, growth := sum.Peak+usage.Peak, sum.Growth+usage.Growth
		sum = sum.Add(usage)
		sum.Peak, sum.Growth = peak, growth
	}
	return sum
}

// fileReads is how many bytes were read without those of the blob, which
// containerd receives when dockerd makes it. That it does is seen from what
// dockerd writes.
func (s Sample) fileReads() int64 {
	sent := int64(0)
	if s.Usage["dockerd"].WriteChars >= s.Blob {
		sent = min(s.Blob, s.Usage["containerd"].ReadChars)
	}
	return s.total().ReadChars - sent
}

// summary is the middle and the ends of a measure over the samples of a series.
type summary struct {
	median, low, high float64
	// good samples have a figure, failed ones an error.
	good, failed int
}

func (s *Series) summarize(m measure) summary {
	var result summary
	var values []float64
	for _, sample := range s.Samples {
		if sample.Error != "" {
			result.failed++
			continue
		}
		if value, ok := m.of(sample); ok {
			values = append(values, value)
		}
	}
	result.good = len(values)
	if len(values) == 0 {
		return result
	}
	slices.Sort(values)
	result.low, result.high = values[0], values[len(values)-1]
	// By hand: benchmath, which the chart's module has, would bring two modules for these lines.
	middle := len(values) / 2
	result.median = values[middle]
	if len(values)%2 == 0 {
		result.median = (values[middle-1] + values[middle]) / 2
	}
	return result
}

// median returns the median of a measure for a contestant, if there is one.
func (r *Report) median(c Case, contestant string, m measure) (float64, bool) {
	series := r.find(c, contestant)
	if series == nil {
		return 0, false
	}
	sum := series.summarize(m)
	return sum.median, sum.good > 0
}
