package results

import (
	"fmt"
	"slices"
)

// Verdict says whether a target was reached.
type Verdict struct {
	Volume  string `json:"volume"`
	Target  string `json:"target"`
	Outcome string `json:"outcome"`
	// Got has the numbers.
	Got string `json:"got"`
}

// The outcomes.
const (
	Reached     = "reached"
	Missed      = "missed"
	NotMeasured = "not measured"
)

// The targets' numbers.
const (
	tinySpeedup   = 20  // W1 and W8 against stock
	largeSpeedup  = 5   // W2, W3 and W4 against stock
	imageGrowth   = 1.3 // W1 on the largest image against the smallest
	overSlack     = 1.5 // W1 against overlay2
	pauseShare    = 0.1 // of stock's pause, without reflink
	reflinkPause  = 0.050
	readsOfChange = 1.2
	sentOfBlob    = 0.01
	quickRollback = 0.100 // of a stopped container, W2 and W3
	// tinyFiles is the image of W1 that the targets speak of.
	tinyFiles = 25_000
)

// Judge compares the report with the project's targets, those that speak of a
// workload in it.
func (r *Report) Judge() {
	r.Verdicts = nil
	for _, volume := range r.volumes() {
		j := judge{report: r, volume: volume}
		j.faster("W1", Stock, tinySpeedup)
		j.flat()
		j.notSlower("W1", Overlay2, overSlack)
		for _, workload := range []string{"W2", "W3", "W4"} {
			j.faster(workload, Stock, largeSpeedup)
			j.notSlower(workload, Overlay2, 1)
			j.notSlower(workload, Podman, 1)
		}
		j.faster("W8", Stock, tinySpeedup)
		for _, workload := range []string{"W1", "W2", "W3"} {
			j.shortPause(workload)
		}
		for _, workload := range []string{"W2", "W3", "W4"} {
			j.readsOnce(workload)
			j.sendsNothing(workload)
		}
		for _, workload := range []string{"W2", "W3"} {
			j.rollsBackAtOnce(workload)
		}
	}
}

type judge struct {
	report *Report
	volume string
}

func (j judge) say(workload, target, got string, known, reached bool) {
	if !slices.ContainsFunc(j.report.cases(j.volume), func(c Case) bool { return c.Workload == workload }) {
		return
	}
	outcome := NotMeasured
	switch {
	case known && reached:
		outcome = Reached
	case known:
		outcome = Missed
	default:
		got = ""
	}
	j.report.Verdicts = append(j.report.Verdicts, Verdict{Volume: j.volume, Target: target, Outcome: outcome, Got: got})
}

// commitOf finds the case of a workload; for W1 that of the targets' image.
func (j judge) commitOf(workload string) Case {
	for _, c := range j.report.cases(j.volume) {
		if c.Workload == workload && c.main() && (workload != "W1" || c.Files == tinyFiles) {
			return c
		}
	}
	return Case{Workload: workload, Files: tinyFiles, Action: Commit}
}

// pair returns a measure of the fork and of another.
func (j judge) pair(c Case, m measure, other string) (fork, theirs float64, known bool) {
	fork, forkKnown := j.report.median(c, Fork, m)
	theirs, theirsKnown := j.report.median(c, other, m)
	return fork, theirs, forkKnown && theirsKnown && fork > 0 && theirs > 0
}

func (j judge) faster(workload, other string, times float64) {
	c := j.commitOf(workload)
	fork, theirs, known := j.pair(c, wall, other)
	target := fmt.Sprintf("%s: at least %g times faster than %s", c.name(), times, other)
	j.say(workload, target, fmt.Sprintf("%s (%s against %s)", ratio(theirs/fork), seconds(fork), seconds(theirs)), known, theirs >= times*fork)
}

func (j judge) notSlower(workload, other string, slack float64) {
	c := j.commitOf(workload)
	fork, theirs, known := j.pair(c, wall, other)
	target := fmt.Sprintf("%s: faster than %s", c.name(), other)
	if slack != 1 {
		target = fmt.Sprintf("%s: at most %g times the time of %s", c.name(), slack, other)
	}
	j.say(workload, target, fmt.Sprintf("%s of its time (%s against %s)", ratio(fork/theirs), seconds(fork), seconds(theirs)), known, fork < slack*theirs)
}

// flat compares W1 on the largest image with W1 on the smallest.
func (j judge) flat() {
	var small, large Case
	for _, c := range j.report.cases(j.volume) {
		if c.Workload != "W1" || c.Action != Commit {
			continue
		}
		if small.Workload == "" || c.Files < small.Files {
			small = c
		}
		if c.Files > large.Files {
			large = c
		}
	}
	before, ok := j.report.median(small, Fork, wall)
	after, ok2 := j.report.median(large, Fork, wall)
	target := fmt.Sprintf("W1: time at %s files within %g of that at %s", count(large.Files), imageGrowth, count(small.Files))
	if small == large {
		target = fmt.Sprintf("W1: time does not grow with the image, within %g", imageGrowth)
	}
	j.say("W1", target, fmt.Sprintf("%s (%s against %s)", ratio(after/before), seconds(after), seconds(before)),
		ok && ok2 && small != large, after <= imageGrowth*before)
}

func (j judge) shortPause(workload string) {
	c := j.commitOf(workload)
	if j.volume == "xfs" {
		fork, known := j.report.median(c, Fork, pause)
		j.say(workload, fmt.Sprintf("%s: longest pause under %s", c.name(), seconds(reflinkPause)), seconds(fork), known, fork < reflinkPause)
		return
	}
	fork, theirs, known := j.pair(c, pause, Stock)
	j.say(workload, fmt.Sprintf("%s: longest pause at most a tenth of stock's", c.name()),
		fmt.Sprintf("%s of it (%s against %s)", ratio(fork/theirs), seconds(fork), seconds(theirs)), known, fork <= pauseShare*theirs)
}

func (j judge) readsOnce(workload string) {
	c := j.commitOf(workload)
	share := measure{of: func(s Sample) (float64, bool) {
		return float64(s.fileReads()) / float64(s.Change), s.Change > 0
	}}
	got, known := j.report.median(c, Fork, share)
	j.say(workload, fmt.Sprintf("%s: bytes read at most %g times the change", c.name(), readsOfChange), ratio(got), known, got <= readsOfChange)
}

// sendsNothing looks at what containerd reads of the new layers.
func (j judge) sendsNothing(workload string) {
	c := j.commitOf(workload)
	share := measure{of: func(s Sample) (float64, bool) {
		return float64(s.Usage["containerd"].ReadChars) / float64(s.Blob), s.Blob > 0
	}}
	got, known := j.report.median(c, Fork, share)
	used, _ := j.report.median(c, Fork, measure{of: func(s Sample) (float64, bool) { return s.Usage["containerd"].CPU.Seconds(), true }})
	j.say(workload, fmt.Sprintf("%s: containerd reads at most %g of the layer", c.name(), sentOfBlob),
		fmt.Sprintf("%.3f (%s of a processor)", got, seconds(used)), known, got <= sentOfBlob)
}

// rollsBackAtOnce tells the time of the start beside that of the rollback.
func (j judge) rollsBackAtOnce(workload string) {
	c := j.commitOf(workload)
	c.Action = RollbackStopped
	back, known := j.report.median(c, Fork, wall)
	got := seconds(back)
	c.Action = Start
	if start, ok := j.report.median(c, Fork, wall); ok {
		got += fmt.Sprintf(" (the start after it %s)", seconds(start))
	}
	c.Action = RollbackStopped
	j.say(workload, fmt.Sprintf("%s: under %s", c.name(), seconds(quickRollback)), got, known, back < quickRollback)
}
