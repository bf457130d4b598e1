package checkpoint_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestCheckpointOfReservedNameThatIsGone: a file that no layer can hold is not in the
// way of a checkpoint when it is gone, also if a sealed layer still has it.
func TestCheckpointOfReservedNameThatIsGone(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", "true")
	e.Must(t, "exec", id, "sh", "-c", "mkdir /d; echo x > /d/.wh.x; echo y > /d/y")
	e.SealOwn(t, id)
	e.Must(t, "start", id)
	e.Must(t, "exec", id, "rm", "/d/.wh.x")
	e.MakeCheckpoint(t, id, "gone:1")
	again := e.Restore(t, "gone:1", "--name", "again")
	if got := e.Must(t, "exec", again, "ls", "-A", "/d"); got != "y" {
		t.Errorf("the restored container has %q", got)
	}
}

// TestCheckpointTellsBytes: what a checkpoint packs and a restore unpacks is told
// while it goes on, in bytes.
func TestCheckpointTellsBytes(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", "head -c 50000000 /dev/urandom > /large")
	tellsBytes(t, e, "/containers/"+id+"/checkpoint", api.CheckpointRequest{Ref: "large:1", NoProcess: true}, "reading what it changed", 50_000_000)
	tellsBytes(t, e, "/checkpoints/restore", api.RestoreRequest{Ref: "large:1", Name: "again"}, "creating the container",
		e.ReadCheckpoint(t, "large:1").Own[0].Blob.Size)
	e.Remove(t, "again")
}

func tellsBytes(t *testing.T, e *harness.Env, path string, request any, step string, total int64) {
	t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := e.Open(t.Context(), http.MethodPost, path, string(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var (
		told    api.ProgressDetail
		present string
	)
	for dec := json.NewDecoder(resp.Body); ; {
		var p api.Progress
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil || p.Error != "" {
			t.Fatal(err, p.Error)
		}
		if p.Status != "" {
			present = p.Status
		}
		if d := p.ProgressDetail; d != nil {
			if d.Current < told.Current || d.Total != total || present != step {
				t.Errorf("%q: after %+v came %+v", present, told, *d)
			}
			told = *d
		}
	}
	if told.Current != total {
		t.Errorf("in the end %d of %d bytes are told", told.Current, total)
	}
}
