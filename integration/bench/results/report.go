package results

import (
	"encoding/json"
	"io"
	"slices"
	"time"

	"github.com/baleen-project/baleen/integration/bench/procfs"
)

// The contestants, in the order of the table's columns.
const (
	Fork  = "fork"
	Stock = "stock"
	// Differ and Driver are stock dockerd with baleen-containerd as containerd's
	// differ, and as dockerd's storage driver as well.
	Differ   = "differ"
	Driver   = "driver"
	Overlay2 = "overlay2"
	Podman   = "podman"
	Copy     = "cp -a"
	Durable  = "cp -a, sync"
	Hash     = "SHA-256"
)

var contestants = []string{Fork, Stock, Differ, Driver, Overlay2, Podman, Copy, Durable, Hash}

// The actions.
const (
	Commit = "commit"
	Diff   = "diff"
	Sizes  = "ps -s"
	Build  = "build"
	Load   = "load"

	Snapshot        = "snapshot"       // of a running container
	SnapshotAgain   = "snapshot again" // after a change of one small file
	SnapshotStopped = "snapshot, stopped"
	Rollback        = "rollback" // of a running container, which then runs again
	RollbackStopped = "rollback, stopped"
	Start           = "start after rollback"
	Upgrade         = "upgrade, stopped"
)

// Report is all of one run of the benchmark.
type Report struct {
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`
	Quick   bool      `json:"quick"`
	// Cold says that the page cache was dropped before each measurement.
	Cold    bool              `json:"cold"`
	Machine map[string]string `json:"machine"`
	// Notes are what a reader should know, such as who could not take part.
	Notes    []string  `json:"notes"`
	Series   []*Series `json:"series"`
	Verdicts []Verdict `json:"verdicts"`
}

// Case is what is measured.
type Case struct {
	Volume   string `json:"volume"`
	Workload string `json:"workload"`
	// Files is how many files the image has.
	Files  int    `json:"files"`
	Action string `json:"action"`
	// Title says in words what is done.
	Title string `json:"title"`
}

// Series is one case for one contestant.
type Series struct {
	Case
	Contestant string   `json:"contestant"`
	Samples    []Sample `json:"samples"`
}

// Sample is one measurement. If Error is set the rest is of no use.
type Sample struct {
	Round int    `json:"round"`
	Error string `json:"error,omitempty"`
	// Wall is the time that the caller waited.
	Wall time.Duration `json:"wallNanoseconds"`
	// Pause is the longest gap that a container saw in its clock, or 0 where
	// none ran.
	Pause time.Duration `json:"pauseNanoseconds,omitempty"`
	// Usage is by the name of the program.
	Usage map[string]procfs.Usage `json:"usage,omitempty"`
	// Blob is the size of the new layers as they would be pushed, or 0 where
	// there is no such thing yet.
	Blob int64 `json:"blobBytes,omitempty"`
	// Change is how many bytes the changed files have, in ChangeFiles files.
	Change      int64 `json:"changeBytes,omitempty"`
	ChangeFiles int   `json:"changeFiles,omitempty"`
}

// Then is s and next as one sample, for what is done in several steps. The
// longest pause and the highest peak count.
func (s Sample) Then(next Sample) Sample {
	sum := s
	sum.Wall += next.Wall
	sum.Pause = max(s.Pause, next.Pause)
	sum.Blob += next.Blob
	sum.Change += next.Change
	sum.ChangeFiles += next.ChangeFiles
	if sum.Error == "" {
		sum.Error = next.Error
	}
	sum.Usage = map[string]procfs.Usage{}
	for _, usages := range []map[string]procfs.Usage{s.Usage, next.Usage} {
		for name, usage := range usages {
			sum.Usage[name] = sum.Usage[name].Add(usage)
		}
	}
	return sum
}

// Add puts a sample into its series.
func (r *Report) Add(c Case, contestant string, sample Sample) {
	series := r.find(c, contestant)
	if series == nil {
		series = &Series{Case: c, Contestant: contestant}
		r.Series = append(r.Series, series)
	}
	series.Samples = append(series.Samples, sample)
}

// Note adds a note, unless it is there.
func (r *Report) Note(note string) {
	if !slices.Contains(r.Notes, note) {
		r.Notes = append(r.Notes, note)
	}
}

// find returns the series, or nil if there is none.
func (r *Report) find(c Case, contestant string) *Series {
	for _, s := range r.Series {
		if s.Case == c && s.Contestant == contestant {
			return s
		}
	}
	return nil
}

// cases returns the cases of a volume in the order of the workloads.
func (r *Report) cases(volume string) []Case {
	var cases []Case
	for _, s := range r.Series {
		if s.Volume == volume && !slices.Contains(cases, s.Case) {
			cases = append(cases, s.Case)
		}
	}
	return cases
}

func (r *Report) volumes() []string {
	var volumes []string
	for _, s := range r.Series {
		if !slices.Contains(volumes, s.Volume) {
			volumes = append(volumes, s.Volume)
		}
	}
	return volumes
}

// present returns the contestants that took part on a volume.
func (r *Report) present(volume string) []string {
	var present []string
	for _, name := range contestants {
		if slices.ContainsFunc(r.Series, func(s *Series) bool { return s.Contestant == name && s.Volume == volume }) {
			present = append(present, name)
		}
	}
	return present
}

// WriteJSON writes everything, raw.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "\t")
	return encoder.Encode(r)
}
