package suites

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
)

// fingerprint stands for values and for the contents of files.
func fingerprint(values []string, files ...string) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q\n", values)
	for _, path := range files {
		if err := addFile(sum, path); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func addFile(sum io.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("hash program: %w", err)
	}
	defer file.Close()
	size, err := io.Copy(sum, file)
	if err != nil {
		return fmt.Errorf("hash program %s: %w", path, err)
	}
	fmt.Fprintf(sum, "\n%d\n", size)
	return nil
}

// resultsFile has stock's results of one suite, by key.
type resultsFile string

// maxKept is how many results a file keeps. Each selection of tests has its own.
const maxKept = 8

// find looks up results. A file that cannot be read has none: it is only there
// to save time.
func (f resultsFile) find(key string) (outing, bool) {
	o, ok := f.read()[key]
	return o, ok
}

func (f resultsFile) read() map[string]outing {
	kept := map[string]outing{}
	data, err := os.ReadFile(string(f))
	if err != nil || json.Unmarshal(data, &kept) != nil || kept == nil {
		return map[string]outing{}
	}
	return kept
}

// put adds results and drops the oldest when there are too many.
func (f resultsFile) put(key string, o outing) error {
	kept := f.read()
	kept[key] = o
	var keys []string
	for k := range kept {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return kept[b].Made.Compare(kept[a].Made) })
	for _, k := range keys[min(maxKept, len(keys)):] {
		delete(kept, k)
	}
	data, err := json.MarshalIndent(kept, "", "\t")
	if err != nil {
		return fmt.Errorf("keep stock's results: %w", err)
	}
	if err := os.WriteFile(string(f)+".new", data, 0o644); err != nil {
		return fmt.Errorf("keep stock's results: %w", err)
	}
	if err := os.Rename(string(f)+".new", string(f)); err != nil {
		return fmt.Errorf("keep stock's results: %w", err)
	}
	return nil
}
