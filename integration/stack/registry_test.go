package stack_test

import (
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestRegistriesShareAStore: what is pushed in one stack is pulled in another,
// and both registries go with their stacks.
func TestRegistriesShareAStore(t *testing.T) {
	t.Parallel()
	a, b := stack.ForTest(t, stock), stack.ForTest(t, stock)
	store := t.TempDir()
	for _, s := range []*stack.Stack{a, b} {
		address, err := s.StartRegistry(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		if address != "127.0.0.1:5000" {
			t.Errorf("the registry listens on %s", address)
		}
	}
	load(t, a, "busybox")
	docker(t, a, "tag", "busybox", "127.0.0.1:5000/whale:blue")
	docker(t, a, "push", "127.0.0.1:5000/whale:blue")
	if got := docker(t, b, "run", "--rm", "127.0.0.1:5000/whale:blue", "echo", "sings"); got != "sings" {
		t.Errorf("the pulled image said %q", got)
	}
	if _, err := a.StartRegistry(t.Context(), store); err == nil {
		t.Error("a second registry was started in a stack")
	}
}
