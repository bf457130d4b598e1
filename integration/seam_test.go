package integration_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every name in the Makefile's lists of the tests that the other engine is tested with
// is one of a test: go test passes without a word where none has it.
func TestSeamNamesTests(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^func Test(\w+)\(`).FindAllSubmatch(text, -1) {
			tests = append(tests, string(found[1]))
		}
	}
	lists := regexp.MustCompile(`(?m)^SEAM_[A-Z]+ +:= ([\w.*|]+)$`).FindAllSubmatch(makefile, -1)
	if len(lists) < 5 {
		t.Fatalf("the Makefile has %d lists only", len(lists))
	}
	for _, list := range lists {
		for name := range strings.SplitSeq(string(list[1]), "|") {
			if !slices.ContainsFunc(tests, regexp.MustCompile("^"+name+"$").MatchString) {
				t.Errorf("there is no test Test%s", name)
			}
		}
	}
}
