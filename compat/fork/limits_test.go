package fork_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/fork"
)

// What a new version of Moby has to be read for: the hunks of a line's series, without
// those that only change imports, and the files that they are in.
const (
	mostHunks = 25
	mostFiles = 14
)

func TestSeriesIsSmall(t *testing.T) {
	lines, err := filepath.Glob("*/0001-*.patch")
	if err != nil || len(lines) < 2 {
		t.Fatalf("engine lines %q: %v", lines, err)
	}
	for _, first := range lines {
		line := filepath.Dir(first)
		t.Run(line, func(t *testing.T) {
			s, err := fork.Load(os.DirFS(line))
			if err != nil {
				t.Fatal(err)
			}
			hunks, files := 0, map[string]bool{}
			for _, p := range s.Patches {
				for _, f := range p.Files {
					for _, h := range f.Hunks {
						if !h.ChangesImports() {
							hunks++
							files[f.Path] = true
						}
					}
				}
			}
			t.Logf("%d hunks without imports in %d files", hunks, len(files))
			if hunks > mostHunks || len(files) > mostFiles {
				t.Errorf("%d hunks without imports in %d files, the limits are %d and %d", hunks, len(files), mostHunks, mostFiles)
			}
		})
	}
}

func TestChangesImports(t *testing.T) {
	for text, want := range map[string]bool{
		"+\t\"context\"\n \t\"errors\"":             true,
		"-\tlog \"github.com/x/log\"\n-\n+\t\"os\"": true,
		"+\t\t\"context\"":                          false, // an argument
		"+\t\"context\"\n+var x int":                false,
	} {
		var h fork.Hunk
		for l := range strings.SplitSeq(text, "\n") {
			h.Lines = append(h.Lines, fork.Line{Kind: l[0], Text: l[1:]})
		}
		if got := h.ChangesImports(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
