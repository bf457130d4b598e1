// Package docs_test checks the README and the pages of this folder: what they name must
// exist. It has no daemons; the commands of containerd.md are run by integration/guides.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

const root = ".."

// readmeLines is how many lines the README may have: the rest is here.
const readmeLines = 200

func TestReadmeIsShort(t *testing.T) {
	if n := strings.Count(read(t, "README.md"), "\n"); n > readmeLines {
		t.Errorf("README.md has %d lines, and may have %d: move some to docs", n, readmeLines)
	}
}

// TestLinks: each relative link leads to a file, and to a heading if it names one. Each
// page can be reached from the README.
func TestLinks(t *testing.T) {
	reached := map[string]bool{"README.md": true}
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(prose(read(t, page)), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
				continue
			}
			reached[path] = true
			if anchor != "" && !slices.Contains(anchors(read(t, path)), anchor) {
				t.Errorf("%s: %s has no heading %s", page, path, anchor)
			}
		}
	}
	for _, page := range pages(t) {
		if !reached[page] {
			t.Errorf("no page has a link to %s", page)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// anchors are what GitHub makes of the headings of a page.
func anchors(text string) (found []string) {
	for _, m := range heading.FindAllStringSubmatch(prose(text), -1) {
		found = append(found, strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, m[1]))
	}
	return found
}

// pages are the README and the pages of this folder, by their paths from the root.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("*.md")
	if err != nil || len(found) == 0 {
		t.Fatalf("found no pages: %v", err)
	}
	for i, page := range found {
		found[i] = filepath.Join("docs", page)
	}
	return append([]string{"README.md"}, found...)
}

// read returns a file of the tree, by its path from the root.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// prose is a page without its fenced blocks.
func prose(text string) string {
	var kept []string
	for i, part := range strings.Split("\n"+text, "\n```") {
		if i%2 == 0 {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "\n")
}

var (
	span   = regexp.MustCompile("`([^`]+)`")
	prompt = regexp.MustCompile(`(?m)^[#$] (.*)$`)
	fence  = regexp.MustCompile("(?ms)^```console.*?^```")
)

// commands are the spans of code of a page, and the lines of its fenced blocks that have
// a prompt.
func commands(text string) (found []string) {
	for _, m := range span.FindAllStringSubmatch(prose(text), -1) {
		found = append(found, strings.Join(strings.Fields(m[1]), " "))
	}
	for _, block := range fence.FindAllString(text, -1) {
		for _, m := range prompt.FindAllStringSubmatch(block, -1) {
			found = append(found, m[1])
		}
	}
	return found
}
