package integration_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testsOf returns the names of the tests in a folder, without the word Test.
func testsOf(t *testing.T, folder string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^func Test(\w+)\(`).FindAllSubmatch(text, -1) {
			names = append(names, string(found[1]))
		}
	}
	return names
}

// TestSeamNamesTests: every name in the Makefile's lists of the tests that the other
// engine is tested with is one of a test in the folders that make names: go test passes
// without a word where none has it.
func TestSeamNamesTests(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	folders := regexp.MustCompile(`(?m)^SEAM_FOLDERS +:= (.+)$`).FindSubmatch(makefile)
	lists := regexp.MustCompile(`(?m)^SEAM_[A-Z]+ +:= ([\w.*|]+)$`).FindAllSubmatch(makefile, -1)
	if len(lists) < 5 || folders == nil {
		t.Fatalf("the Makefile has %d lists only, of tests in %q", len(lists), folders)
	}
	unused := map[string]bool{}
	tests := map[string][]string{}
	for folder := range strings.FieldsSeq(string(folders[1])) {
		tests[folder], unused[folder] = testsOf(t, folder), true
	}
	for _, list := range lists {
		for name := range strings.SplitSeq(string(list[1]), "|") {
			found := false
			for folder, names := range tests {
				if slices.ContainsFunc(names, regexp.MustCompile("^"+name+"$").MatchString) {
					found = true
					delete(unused, folder)
				}
			}
			if !found {
				t.Errorf("there is no test Test%s", name)
			}
		}
	}
	for folder := range unused {
		t.Errorf("no test of %s is in the lists", folder)
	}
}

// TestFoldersHaveMountNamespaces: a folder whose tests start daemons mounts nothing in
// the machine's mount namespace.
func TestFoldersHaveMountNamespaces(t *testing.T) {
	files, err := filepath.Glob("*/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	entered, checked := map[string]bool{}, 0
	uses := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		folder := filepath.Dir(file)
		entered[folder] = entered[folder] || strings.Contains(string(text), "mountns.Main(m.Run)")
		uses[folder] = uses[folder] || strings.Contains(string(text), `integration/harness"`)
	}
	for folder := range uses {
		if !uses[folder] {
			continue
		}
		checked++
		if !entered[folder] {
			t.Errorf("integration/%s has no TestMain that calls mountns.Main", folder)
		}
	}
	if checked < 10 {
		t.Errorf("only %d folders use the harness", checked)
	}
}
