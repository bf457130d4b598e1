package checkpoint_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/checkpoint"
)

// runtimeFake is the daemon's view of containerd, with one container and one task. It
// notes the steps of the task.
type runtimeFake struct {
	moby.RuntimeClient
	steps   []string
	failure error // of the start
}

func (f *runtimeFake) LoadContainer(context.Context, string) (moby.RuntimeContainer, error) {
	return containerFake{f: f}, nil
}

func (f *runtimeFake) NewContainer(context.Context, string, *specs.Spec, string, any, ...containerd.NewContainerOpts) (moby.RuntimeContainer, error) {
	return containerFake{f: f}, nil
}

type containerFake struct {
	moby.RuntimeContainer
	f *runtimeFake
}

func (c containerFake) NewTask(context.Context, string, bool, moby.StdioCallback) (moby.Task, error) {
	c.f.steps = append(c.f.steps, "create")
	return runtimeTask{f: c.f}, nil
}

type runtimeTask struct {
	moby.Task
	f *runtimeFake
}

func (t runtimeTask) Start(context.Context) error {
	t.f.steps = append(t.f.steps, "start")
	return t.f.failure
}

func (t runtimeTask) ForceDelete(context.Context) error {
	t.f.steps = append(t.f.steps, "delete")
	return nil
}

// TestTasksOfADumpStartAtOnce: the network of a task is connected between its creation and
// its start, but after the start if it has processes of a dump.
func TestTasksOfADumpStartAtOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		dump    string
		failure error
		steps   []string
	}{
		"new":                        {steps: []string{"create", "connect", "start"}},
		"of a dump":                  {dump: "/dump", steps: []string{"create", "start", "connect"}},
		"of a dump that is not good": {dump: "/dump", failure: errors.New("no restore"), steps: []string{"create", "start", "delete"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &runtimeFake{failure: tc.failure}
			client := checkpoint.RuntimeClient(f)
			made, err := client.NewContainer(t.Context(), "web", nil, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			loaded, err := client.LoadContainer(t.Context(), "web")
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []moby.RuntimeContainer{made, loaded} {
				f.steps = nil
				task, err := c.NewTask(t.Context(), tc.dump, false, nil)
				if !errors.Is(err, tc.failure) {
					t.Fatal(err)
				}
				if err == nil {
					f.steps = append(f.steps, "connect")
					if err := task.Start(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if !slices.Equal(f.steps, tc.steps) {
					t.Errorf("steps were %q, want %q", f.steps, tc.steps)
				}
			}
		})
	}
}
