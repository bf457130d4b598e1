package stack_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// A test needs no more than this. The stack and all that is in it goes when the
// test ends.
func ExampleForTest() {
	_ = func(t *testing.T) {
		s := stack.ForTest(t, stack.Config{})
		if err := s.LoadImages(t.Context(), "busybox"); err != nil {
			t.Fatal(err)
		}
		out, err := s.Docker(t.Context(), "run", "--rm", "busybox", "echo", "hello").Output()
		if err != nil || string(out) != "hello\n" {
			t.Errorf("got %q, %v", out, err)
		}
	}
}

// Data that stock dockerd has written is taken over by the fork.
func ExampleStack_StartDockerdAs() {
	ctx := context.Background()
	s, err := stack.Start(ctx, stack.Config{Flavor: stack.Stock})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() {
		if err := s.Stop(ctx); err != nil {
			fmt.Println(err)
		}
	}()
	if err := s.StopDockerd(ctx); err != nil {
		fmt.Println(err)
		return
	}
	if err := s.StartDockerdAs(ctx, stack.Fork); err != nil {
		fmt.Println(err)
	}
}
