package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
	"github.com/baleen-project/baleen/compat/fork"
)

func TestParseFindings(t *testing.T) {
	const out = `# example.com/a
{
	"example.com/a": {
		"printf": [{"posn": "/x/a.go:3:2", "message": "wrong verb"}],
		"copylocks": []
	}
}
# example.com/b
{}
`
	got, err := parseFindings(strings.NewReader(out))
	if err != nil || len(got) != 1 || got[0] != (finding{"/x/a.go:3:2", "wrong verb"}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"vet: it does not compile\n", `{"p": {"printf": {"error": "it failed"}}}`} {
		if got, err := parseFindings(strings.NewReader(bad)); err == nil {
			t.Errorf("%q gave %v", bad, got)
		}
	}
}

func TestFindingsThatAreOurs(t *testing.T) {
	dir, origin := t.TempDir(), t.TempDir()
	put(t, filepath.Join(origin, "a.go"), []byte("package a\n\nvar theirs = 1\n"))
	m := &maker{series: &fork.Series{Glue: map[string][]byte{"ours.go": nil}}}
	files := map[string][]byte{"ours.go": nil, "a.go": []byte("package a\n\nvar ours = 1\nvar theirs = 1\n")}
	tree := &modtree.Tree{Dir: dir, Origin: origin}
	for posn, want := range map[string]bool{"ours.go:7:1": true, "a.go:3:1": true, "a.go:4:1": false, "other.go:1:1": false} {
		got, err := m.isOurs(tree, finding{Posn: filepath.Join(dir, posn)}, files)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", posn, got, err)
		}
	}
	for _, posn := range []string{"", "a.go:x:1", "a.go:99:1"} {
		if got, err := m.isOurs(tree, finding{Posn: filepath.Join(dir, posn)}, files); err == nil {
			t.Errorf("%q: %v", posn, got)
		}
	}
}

func TestPackagesOf(t *testing.T) {
	got := packagesOf(map[string][]byte{"b/x.go": nil, "a/x.go": nil, "a/y.go": nil, "c/x.txt": nil})
	if want := "a b"; strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
}
