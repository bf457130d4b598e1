package main

import (
	"fmt"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
	"github.com/baleen-project/baleen/compat/fork"
)

// checkVerbs stops the build if Moby's image service has a verb that nobody has judged:
// it would be Moby's without anybody's decision.
func checkVerbs(t *modtree.Tree) error {
	text, err := t.Original(fork.VerbsFile)
	if err == nil {
		err = fork.CheckVerbs(text)
	}
	if err != nil {
		return fmt.Errorf("check the verbs of %s: %w", t.Pin.Module, err)
	}
	return nil
}
