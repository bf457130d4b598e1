package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestCheckpointIsTold tells what a checkpoint is, on a daemon that cannot keep
// processes and on one that can.
func TestCheckpointIsTold(t *testing.T) {
	if err := stack.FindCRIU(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		without []string
		able    bool
	}{{[]string{"criu"}, false}, {nil, true}} {
		t.Run(fmt.Sprint("without ", c.without), func(t *testing.T) {
			if c.able {
				if out, err := exec.CommandContext(t.Context(), "criu", "check").CombinedOutput(); err != nil {
					t.Skipf("there is no CRIU that runs here (make criu unpacks one): %v %s", err, out)
				}
			}
			s := &story{ctx: t.Context(), stack: stack.ForTest(t, stack.Config{Without: c.without})}
			if err := s.stack.LoadImages(t.Context(), "busybox"); err != nil {
				t.Fatal(err)
			}
			if _, err := s.docker("tag", "busybox", app.Name); err != nil {
				t.Fatal(err)
			}
			able, err := s.keepsProcesses()
			if able != c.able || err != nil {
				t.Errorf("processes are kept: %v, %v", able, err)
			}
			if err := s.checkpoint(); err != nil {
				t.Error(err)
			}
			kind, err := s.docker("image", "inspect", "-f", `{{json .Config.Labels}}`, "counter:kept")
			if want := map[bool]string{false: "files", true: "processes"}[c.able]; err != nil || !strings.Contains(kind, want) {
				t.Errorf("the labels of the checkpoint are %s, want %s among them (%v)", kind, want, err)
			}
			if _, err := s.docker("rm", "-f", "counter"); err != nil {
				t.Error(err)
			}
		})
	}
}
