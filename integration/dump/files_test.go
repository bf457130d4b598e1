package dump

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestFilesTellsAllOfEachName: a name of a file that was read before has what the first
// one has, and another file none of it.
func TestFilesTellsAllOfEachName(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(at("a"), []byte("shared"), 0o600), os.Link(at("a"), at("b")), os.WriteFile(at("c"), []byte("single"), 0o644),
		os.Mkdir(at("d"), 0o755), os.Link(at("a"), at("d/e")), os.Symlink("a", at("f")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// Of printf %s shared | sha256sum, and of single.
	const shared, single = "a4d26868", "947f1875"
	var got []string
	err := Files(dir, func(f File) error {
		first, _ := filepath.Rel(dir, f.First)
		got = append(got, fmt.Sprintf("%s %o %.8s %s", filepath.Base(f.Path), f.Stat.Mode&0o777, f.Content, first))
		return nil
	})
	want := []string{"a 600 " + shared + " ", "b 600 " + shared + " a", "c 644 " + single + " ", "d 755  ", "e 600 " + shared + " a", "f 777 a "}
	if err != nil || !slices.Equal(got[1:], want) {
		t.Errorf("%v, the files are\n%q, want\n%q", err, got[1:], want)
	}
}
