package harness

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
)

// SealOwn has a container stand on what it wrote.
func (e *Env) SealOwn(t *testing.T, id string) {
	t.Helper()
	e.Must(t, "kill", id)
	e.Must(t, "baleen", "snapshot", id)
}

// ChangeTree has a container change its image in all the ways of a layer, when
// it starts for the first time.
const ChangeTree = "[ -L /tree/done ] || { cd /tree; rm -r gone gone-file file-to-dir dir-to-file dangling; mkdir gone file-to-dir; " +
	"echo new > gone/new; echo new > file-to-dir/new; echo file > dir-to-file; chmod 700 setuid; mkdir kept/deep; echo mixed > kept/deep/file; " +
	"mkfifo kept/pipe; ln kept/one kept/three; ln -s /nowhere done; }"

// MakeCheckpoint keeps a container in a checkpoint of that name, and returns what the
// command tells of it.
func (e *Env) MakeCheckpoint(t *testing.T, id, ref string) (made api.Checkpoint) {
	t.Helper()
	out := e.Must(t, "baleen", "checkpoint", "--no-process", "--format", "json", id, ref)
	if err := json.Unmarshal([]byte(LastLine(out)), &made); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return made
}

// LastLine returns what follows the last line break.
func LastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }

// Restore makes a container of a checkpoint.
func (e *Env) Restore(t *testing.T, ref string, options ...string) string {
	t.Helper()
	out := e.Must(t, append(append([]string{"baleen", "restore", "-q"}, options...), ref)...)
	id := LastLine(out)
	t.Cleanup(func() { e.Remove(t, id) })
	return id
}

// ReadCheckpoint reads a checkpoint as containerd has it.
func (e *Env) ReadCheckpoint(t *testing.T, ref string) *checkpoint.Checkpoint {
	t.Helper()
	record, err := e.Client.ImageService().Get(e.Context(t), "docker.io/library/"+ref)
	if err != nil {
		t.Fatal(err)
	}
	read, err := checkpoint.Read(e.Context(t), e.Client.ContentStore(), record.Target)
	if err != nil {
		t.Fatal(err)
	}
	return read
}
