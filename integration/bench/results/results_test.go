package results

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/bench/procfs"
)

func TestFormats(t *testing.T) {
	t.Parallel()
	tests := []struct{ got, want string }{
		{seconds(0.0000123), "12.3 µs"},
		{seconds(0.0234), "23.4 ms"},
		{seconds(0.9994), "999 ms"},
		{seconds(0.9996), "1.00 s"},
		{seconds(123.4), "123 s"},
		{seconds(0), "0 s"},
		{bytes(0), "0 B"},
		{bytes(999), "999 B"},
		{bytes(1_234_567), "1.23 MB"},
		{bytes(2_500_000_000_000), "2500 GB"},
		{ratio(24.06), "×24.1"},
		{ratio(0.0456), "×0.046"},
		{count(7), "7"},
		{count(100_000), "100,000"},
		{count(1_234_567), "1,234,567"},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func samples(seconds ...float64) []Sample {
	var list []Sample
	for i, s := range seconds {
		list = append(list, Sample{Round: i, Wall: time.Duration(s * float64(time.Second))})
	}
	return list
}

func TestSummary(t *testing.T) {
	t.Parallel()
	failed := Sample{Error: "no", Wall: time.Hour}
	tests := map[string]struct {
		samples []Sample
		want    summary
	}{
		"none":      {nil, summary{}},
		"one":       {samples(2), summary{2, 2, 2, 1, 0}},
		"odd":       {samples(3, 1, 2), summary{2, 1, 3, 3, 0}},
		"even":      {samples(4, 1, 2, 3), summary{2.5, 1, 4, 4, 0}},
		"failed":    {append(samples(1, 3), failed), summary{2, 1, 3, 2, 1}},
		"only fail": {[]Sample{failed}, summary{failed: 1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := (&Series{Samples: test.samples}).summarize(wall); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
	if got := (&Series{Samples: samples(1)}).summarize(pause); got.good != 0 {
		t.Errorf("a pause that was not measured: %+v", got)
	}
}

func TestStepsAddUp(t *testing.T) {
	t.Parallel()
	first := Sample{Wall: 1, Pause: 5, Blob: 10, Usage: map[string]procfs.Usage{"dockerd": {CPU: 1, Peak: 7, ReadChars: 3}}}
	second := Sample{Wall: 2, Pause: 4, Blob: 20, Error: "late", Usage: map[string]procfs.Usage{"dockerd": {CPU: 2, Peak: 6, ReadChars: 4}}}
	got := first.Then(second)
	if got.Wall != 3 || got.Pause != 5 || got.Blob != 30 || got.Error != "late" {
		t.Errorf("got %+v", got)
	}
	if got.Usage["dockerd"] != (procfs.Usage{CPU: 3, Peak: 7, ReadChars: 7}) {
		t.Errorf("got %+v", got.Usage)
	}
	// Two programs at the same time need the memory of both.
	both := Sample{Usage: map[string]procfs.Usage{"dockerd": {Peak: 7}, "containerd": {Peak: 5}}}
	if got := both.total().Peak; got != 12 {
		t.Errorf("peak of both is %d", got)
	}
}

// fixture has one workload of each sort on two volumes.
func fixture() *Report {
	r := &Report{Began: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Seconds: 60, Machine: map[string]string{"kernel": "6.18", "processor": "P"}}
	add := func(volume, workload string, files int, contestant string, seconds, pause float64, read int64) {
		r.Add(Case{Volume: volume, Workload: workload, Files: files, Action: Commit, Title: "t"}, contestant, Sample{
			Wall: time.Duration(seconds * 1e9), Pause: time.Duration(pause * 1e9),
			Usage:  map[string]procfs.Usage{"dockerd": {ReadChars: read, WriteChars: 1000}, "containerd": {ReadChars: 500}},
			Change: 1000, Blob: 500,
		})
	}
	for _, volume := range []string{"ext4", "xfs"} {
		add(volume, "W1", 5_000, Fork, 0.020, 0.010, 1)
		add(volume, "W1", 25_000, Fork, 0.020, 0.010, 1)
		add(volume, "W1", 25_000, Stock, 0.400, 0.090, 1)
		add(volume, "W1", 25_000, Overlay2, 0.010, 0.090, 1)
		add(volume, "W1", 100_000, Fork, 0.025, 0.010, 1)
		add(volume, "W2", 25_000, Fork, 2, 0.060, 1200)
		add(volume, "W2", 25_000, Stock, 9, 0.600, 1)
		add(volume, "W2", 25_000, Podman, 3, 0.600, 1)
	}
	r.Add(Case{Volume: "ext4", Workload: "W2", Files: 25_000, Action: Commit, Title: "t"}, Hash, Sample{Error: "disk full"})
	return r
}

func TestTargetsAreJudged(t *testing.T) {
	t.Parallel()
	r := fixture()
	for action, took := range map[string]time.Duration{RollbackStopped: 40 * time.Millisecond, Start: 300 * time.Millisecond} {
		r.Add(Case{Volume: "ext4", Workload: "W2", Files: 25_000, Action: action, Title: "t"}, Fork, Sample{Wall: took})
	}
	r.Judge()
	r.Judge() // again gives the same, not more
	got := map[string]string{}
	for _, v := range r.Verdicts {
		got[v.Volume+": "+v.Target] = v.Outcome + " " + v.Got
	}
	for target, want := range map[string]string{
		"ext4: W1 on 25,000 files: at least 20 times faster than stock":      "reached ×20.0 (20.0 ms against 400 ms)",
		"ext4: W1: time at 100,000 files within 1.3 of that at 5,000":        "reached ×1.25 (25.0 ms against 20.0 ms)",
		"ext4: W1 on 25,000 files: at most 1.5 times the time of overlay2":   "missed ×2.00 of its time (20.0 ms against 10.0 ms)",
		"ext4: W2: at least 5 times faster than stock":                       "missed ×4.50 (2.00 s against 9.00 s)",
		"ext4: W2: faster than overlay2":                                     "not measured ",
		"ext4: W2: faster than podman":                                       "reached ×0.667 of its time (2.00 s against 3.00 s)",
		"ext4: W8: at least 20 times faster than stock":                      "",
		"ext4: W1 on 25,000 files: longest pause at most a tenth of stock's": "missed ×0.111 of it (10.0 ms against 90.0 ms)",
		"xfs: W1 on 25,000 files: longest pause under 50.0 ms":               "reached 10.0 ms",
		"xfs: W2: longest pause under 50.0 ms":                               "missed 60.0 ms",
		"xfs: W2: bytes read at most 1.2 times the change":                   "reached ×1.20",
		"xfs: W2: containerd reads at most 0.01 of the layer":                "missed 1.000 (0 s of a processor)",
		"ext4: W2: rollback, stopped: under 100 ms":                          "reached 40.0 ms (the start after it 300 ms)",
		"xfs: W2: rollback, stopped: under 100 ms":                           "not measured ",
		"ext4: W3: rollback, stopped: under 100 ms":                          "",
		"xfs: W3: bytes read at most 1.2 times the change":                   "",
	} {
		if got[target] != want {
			t.Errorf("%s: got %q, want %q", target, got[target], want)
		}
	}
	if len(got) != len(r.Verdicts) {
		t.Errorf("%d verdicts, %d different ones", len(r.Verdicts), len(got))
	}
}

func TestTableShowsFiguresAndFailures(t *testing.T) {
	t.Parallel()
	r := fixture()
	slow := Sample{Wall: 4 * time.Second, Usage: map[string]procfs.Usage{"podman": {Peak: 30e6, Growth: 5e6}}}
	r.Add(r.cases("xfs")[3], Podman, slow)
	r.Note("podman is old")
	r.Note("podman is old")
	r.Judge()
	var b strings.Builder
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"ext4: wall time\n                           fork          stock         overlay2         podman   SHA-256\n",
		"  W1 on 25,000 files    20.0 ms   400 ms ×20.0   10.0 ms ×0.500              –         –\n",
		"failed\n",
		"ext4, W2, SHA-256, round 1: disk full",
		"3.00 s–4.00 s (2)",
		"30.0 MB +5.00 MB",
		"note: podman is old",
		"reached",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Count(text, "podman is old") != 1 {
		t.Error("a note is there twice")
	}
}

func TestJSONHasTheRawSamples(t *testing.T) {
	t.Parallel()
	r := fixture()
	r.Judge()
	var b strings.Builder
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Series) != len(r.Series) || back.Series[1].Samples[0].Wall != 20*time.Millisecond || len(back.Verdicts) != len(r.Verdicts) {
		t.Errorf("came back as %+v", back)
	}
}
