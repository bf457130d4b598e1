package modtree_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
	"github.com/baleen-project/baleen/compat/engine"
)

// The daemon is built from the pins and this module's packages are written
// against go.mod: they must be the same versions.
func TestPinsAgreeWithGoMod(t *testing.T) {
	root, err := modtree.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	required := map[string]string{}
	for _, r := range mod.Require {
		required[r.Mod.Path] = r.Mod.Version
	}
	for _, module := range []string{engine.V28.Module(), modtree.Containerd} {
		pin, err := modtree.Lookup(engine.V28, module)
		if err != nil {
			t.Fatal(err)
		}
		if required[module] != pin.Version {
			t.Errorf("%s is %q in go.mod, %q in pins.txt", module, required[module], pin.Version)
		}
	}
}

func TestLookupOfAnUnpinnedModule(t *testing.T) {
	_, err := modtree.Lookup(engine.V29, "example.com/nothing")
	if err == nil || !strings.Contains(err.Error(), "example.com/nothing") {
		t.Fatalf("want an error that names the module, got %v", err)
	}
}

// Each line has its own engine, and none is built with another line's.
func TestPinsOfEachLine(t *testing.T) {
	for line, release := range map[engine.Line]string{engine.V28: "28.5.2", engine.V29: "29.8.1"} {
		pin, err := modtree.Lookup(line, line.Module())
		if err != nil || pin.Release != release {
			t.Errorf("engine %s is built from %+v (%v), not from release %s", line, pin, err, release)
		}
		for _, module := range []string{modtree.CLI, modtree.Buildx, modtree.Compose, modtree.Containerd, modtree.Runc, modtree.Distribution} {
			if _, err := modtree.Lookup(line, module); err != nil {
				t.Errorf("engine %s: %v", line, err)
			}
		}
	}
	if pin, err := modtree.Lookup(engine.V29, engine.V28.Module()); err == nil {
		t.Errorf("engine 29 has a pin of engine 28.5's: %+v", pin)
	}
}

func TestDownloadRefusesAnotherChecksum(t *testing.T) {
	pin, err := modtree.Lookup(engine.V28, engine.V28.Module())
	if err != nil {
		t.Fatal(err)
	}
	pin.Sum = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	if _, err := pin.Download(t.Context()); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Fatalf("want a checksum error, got %v", err)
	}
}

func TestTreeFollowsItsFiles(t *testing.T) {
	tree := openMoby(t)
	original := read(t, tree, "README.md")

	sync(t, tree, map[string][]byte{"README.md": []byte("edited"), "daemon/added.go": []byte("package daemon")})
	if got := read(t, tree, "README.md"); got != "edited" {
		t.Errorf("edited file holds %q", got)
	}
	if got := read(t, tree, "daemon/added.go"); got != "package daemon" {
		t.Errorf("added file holds %q", got)
	}

	before := stat(t, tree, "daemon/added.go").ModTime()
	sync(t, tree, map[string][]byte{"daemon/added.go": []byte("package daemon")})
	if got := read(t, tree, "README.md"); got != original {
		t.Error("a file that is not edited any more did not get its text back")
	}
	if after := stat(t, tree, "daemon/added.go").ModTime(); !after.Equal(before) {
		t.Error("a file that had the right text was written again")
	}

	sync(t, tree, nil)
	if _, err := os.Stat(filepath.Join(tree.Dir, "daemon/added.go")); !os.IsNotExist(err) {
		t.Errorf("an added file that is not wanted any more is still there: %v", err)
	}
}

func TestTreeIsCopiedAgainAfterACutCopy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	tree := open(t, dir)
	// A copy that was cut short has an empty mark yet.
	if err := os.WriteFile(filepath.Join(tree.Dir, ".baleen-source"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(tree.Dir, "README.md")); err != nil {
		t.Fatal(err)
	}
	read(t, open(t, dir), "README.md")
}

func TestTreeDoesNotTakeTheFolderOfOthers(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	pin, err := modtree.Lookup(engine.V28, engine.V28.Module())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := modtree.Open(t.Context(), pin, dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("want an error that names the folder, got %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

func openMoby(t *testing.T) *modtree.Tree {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "tree"))
}

func open(t *testing.T, dir string) *modtree.Tree {
	t.Helper()
	pin, err := modtree.Lookup(engine.V28, engine.V28.Module())
	if err != nil {
		t.Fatal(err)
	}
	tree, err := modtree.Open(t.Context(), pin, dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func sync(t *testing.T, tree *modtree.Tree, files map[string][]byte) {
	t.Helper()
	if err := tree.Sync(files); err != nil {
		t.Fatal(err)
	}
}

// read returns the text of a file of the tree.
func read(t *testing.T, tree *modtree.Tree, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tree.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func stat(t *testing.T, tree *modtree.Tree, name string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(filepath.Join(tree.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return info
}
