package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// measured is what bench writes, of two volumes. stock failed once on XFS, and each time
// on ext4.
const measured = `{"began":"2026-11-28T10:00:00Z","quick":true,"machine":{"processor":"a <fast> one","kernel":"6.18"},"series":[
{"volume":"ext4","workload":"W1","files":10000,"action":"commit","title":"one file of 10 bytes","contestant":"fork","samples":[{"wallNanoseconds":30000000},{"wallNanoseconds":20000000},{"wallNanoseconds":40000000}]},
{"volume":"ext4","workload":"W1","files":10000,"action":"diff","title":"one file of 10 bytes","contestant":"fork","samples":[{"wallNanoseconds":77000000000}]},
{"volume":"ext4","workload":"W1","files":10000,"action":"commit","title":"one file of 10 bytes","contestant":"stock","samples":[{"error":"no space","wallNanoseconds":1}]},
{"volume":"ext4","workload":"W2","files":10,"action":"commit","title":"1 GiB","contestant":"fork","samples":[{"wallNanoseconds":3000000000}]},
{"volume":"XFS","workload":"W1","files":10000,"action":"commit","title":"one file of 10 bytes","contestant":"fork","samples":[{"wallNanoseconds":100000}]},
{"volume":"XFS","workload":"W1","files":10000,"action":"commit","title":"one file of 10 bytes","contestant":"stock","samples":[{"error":"no space"},{"wallNanoseconds":250000000},{"wallNanoseconds":350000000}]}]}`

// drawn returns the texts of the chart of a report.
func drawn(t *testing.T, report string) []string {
	t.Helper()
	in, out := filepath.Join(t.TempDir(), "in.json"), filepath.Join(t.TempDir(), "out.svg")
	if err := os.WriteFile(in, []byte(report), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{in, out}); err != nil {
		t.Fatal(err)
	}
	svg, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer svg.Close()
	var texts []string
	tokens := xml.NewDecoder(svg)
	for inText := false; ; {
		token, err := tokens.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("the SVG is none: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inText = token.Name.Local == "text"
		case xml.EndElement:
			inText = false
		case xml.CharData:
			if inText {
				texts = append(texts, strings.TrimSpace(string(token)))
			}
		}
	}
}

// TestChart: each figure stands in the chart once, the middle one of three, the middle of
// two, and that of a time too short for a bar.
func TestChart(t *testing.T) {
	texts := drawn(t, measured)
	count := map[string]int{}
	for _, text := range texts {
		count[text]++
	}
	for text, want := range map[string]int{
		"30 ms": 1, "3 s": 1, "300 ms": 1, "0.1 ms": 1, "failed": 1, "-": 1,
		"W1, 10000 files": 2, "W2": 1, "ext4": 1, "XFS": 1,
		"Baleen": 1, "Moby on containerd": 1, "podman": 0,
		"a <fast> one, kernel 6.18": 1, "W1: one file of 10 bytes": 1, "W2: 1 GiB": 1,
		"10 s": 2, "77 s": 0, // the scale of both panels is one, and what is not a commit is left out
	} {
		if count[text] != want {
			t.Errorf("%q stands %d times in the chart, want %d", text, count[text], want)
		}
	}
	if t.Failed() {
		t.Logf("%q", texts)
	}
}

func TestChartOfNothing(t *testing.T) {
	in, out := filepath.Join(t.TempDir(), "in.json"), filepath.Join(t.TempDir(), "out.svg")
	for report, want := range map[string]string{
		`{"series":[]}`: "none of 0 series",
		`{"series":[{"action":"commit","contestant":"fork","samples":[{"error":"no"}]}]}`: "none of 1 series",
		`{`: "read ",
	} {
		if err := os.WriteFile(in, []byte(report), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := run([]string{in, out}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a chart of %s gave %v", report, err)
		}
	}
	if err := run(nil); err == nil {
		t.Error("no argument is enough")
	}
}
