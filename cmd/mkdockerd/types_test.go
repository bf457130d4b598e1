package main

import (
	"slices"
	"testing"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
)

// Packages that take the engine's types are tested with each line's, others need not
// be.
func TestUsersOfTypes(t *testing.T) {
	root, err := modtree.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	users, err := (&maker{root: root}).usersOfTypes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for pkg, want := range map[string]bool{"compat/moby": true, "compat": true, "imageservice": true, "diff": false, "integration": false} {
		if slices.Contains(users, baleenModule+"/"+pkg) != want {
			t.Errorf("%s is among %q: %v, want %v", pkg, users, !want, want)
		}
	}
}
