package fsops_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/baleen-project/baleen/integration/soak/fsops"
)

func TestOperationsStayBelowTheRoot(t *testing.T) {
	outside := t.TempDir()
	root := filepath.Join(outside, "root")
	secret := filepath.Join(outside, "b") // where a link of the operations leads
	if err := errors.Join(os.Mkdir(root, 0o755), os.WriteFile(secret, []byte("b"), 0o640)); err != nil {
		t.Fatal(err)
	}
	ops := []fsops.Op{{Verb: "symlink", Path: "a", To: "../b"}, {Verb: "symlink", Path: "up", To: ".."}}
	for _, verb := range []string{"write", "append", "truncate", "chmod", "chown", "utimes", "forge", "setxattr", "unlink", "remove-all"} {
		ops = append(ops, fsops.Op{Verb: verb, Path: "up/b", To: "user.a", N: 7, Text: "x"}, fsops.Op{Verb: verb, Path: "../b", To: "user.a", N: 7, Text: "x"})
		if verb != "unlink" && verb != "remove-all" {
			ops = append(ops, fsops.Op{Verb: verb, Path: "a", To: "user.a", N: 7, Text: "x"})
		}
	}
	before, err := os.Stat(secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fsops.Perform(root, ops); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(secret)
	if err != nil {
		t.Fatal(err)
	}
	if after.Size() != before.Size() || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("a file outside became %v, it was %v", after, before)
	}
}

func TestRandomOperationsDoSomething(t *testing.T) {
	root := t.TempDir()
	done, err := fsops.Perform(root, fsops.NewSource(rand.New(rand.NewPCG(1, 1))).Take(500))
	if err != nil || done < 200 {
		t.Fatalf("%d operations of 500 were done, %v", done, err)
	}
	files := 0
	err = filepath.WalkDir(root, func(string, os.DirEntry, error) error { files++; return nil })
	if err != nil || files < 50 {
		t.Errorf("500 operations left %d files, %v", files, err)
	}
}
