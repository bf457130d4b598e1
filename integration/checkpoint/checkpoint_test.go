package checkpoint_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// checkpointed is a container and the checkpoint of it.
type checkpointed struct {
	id, name, ref string
	tree, diff    string
	made          api.Checkpoint
}

// makeCheckpoint makes a container that has a configuration of its own and changed
// its files, and a checkpoint of it.
func makeCheckpoint(t *testing.T, e *harness.Env, name, ref string) checkpointed {
	t.Helper()
	c := checkpointed{name: name, ref: ref}
	c.id = e.Run(t, "tree", harness.ChangeTree, "--name", name, "-e", "KRILL=1", "-l", "team=whale", "--memory", "64m", "-w", "/tree")
	c.tree, c.diff = e.Must(t, "exec", c.id, "/fstool", "list", "/tree"), e.Must(t, "diff", c.id)
	c.made = e.MakeCheckpoint(t, c.id, ref)
	return c
}

// isRestored fails the test if a container is not as the one was that had been
// checkpointed.
func isRestored(t *testing.T, e *harness.Env, id string, of checkpointed) {
	t.Helper()
	if got := e.Must(t, "exec", id, "/fstool", "list", "/tree"); got != of.tree {
		t.Errorf("the restored files are\n%s\nwant\n%s", got, of.tree)
	}
	if got := e.Must(t, "diff", id); got != of.diff {
		t.Errorf("docker diff of what was restored prints\n%s\nwant\n%s", got, of.diff)
	}
	const format = "{{.Config.Env}} {{.Config.Labels}} {{.HostConfig.Memory}} {{.Config.WorkingDir}} {{.Config.Image}}"
	want := "[KRILL=1 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin] map[team:whale] 67108864 /tree tree"
	if got := e.Inspect(t, id, format); got != want {
		t.Errorf("the restored configuration is %q, want %q", got, want)
	}
	if got, want := e.Must(t, "exec", id, "hostname"), id[:12]; got != want {
		t.Errorf("the restored container calls itself %s, and its id is %s", got, want)
	}
}

// TestCheckpointFiles keeps a container's files as an image and makes it again:
// beside the first, after that is gone with its image, through an archive and
// through a registry in another daemon.
func TestCheckpointFiles(t *testing.T) {
	dir := t.TempDir()
	fork := harness.StartWithTree(t)
	fork.WithRegistry(t, filepath.Join(dir, "registry"))
	before := fork.State(t)
	web := makeCheckpoint(t, fork, "web", harness.RegistryAddress+"/web:1")
	if status := fork.Inspect(t, web.id, "{{.State.Status}}"); status != "running" || web.made.Kind != "files" || web.made.New >= web.made.Size {
		t.Errorf("the container is %s after its checkpoint %+v", status, web.made)
	}
	t.Run("a container beside the first", func(t *testing.T) {
		id := fork.Restore(t, web.ref, "--name", "beside")
		isRestored(t, fork, id, web)
		fork.Remove(t, id)
	})
	t.Run("shown as what it is", func(t *testing.T) { shownAsCheckpoint(t, fork, web) })
	t.Run("not run as an image", func(t *testing.T) { notRun(t, fork, web) })
	t.Run("a second one shares", func(t *testing.T) {
		again := fork.MakeCheckpoint(t, web.id, "")
		// A time may take fewer digits.
		if again.New > 16<<10 || max(again.Size-web.made.Size, web.made.Size-again.Size) > 256 {
			t.Errorf("of %d bytes %d are new in a checkpoint of the same files, and the first had %d", again.Size, again.New, web.made.Size)
		}
		fork.Must(t, "rmi", again.ID.String())
	})
	archive := filepath.Join(dir, "web.tar")
	fork.Must(t, "save", "-o", archive, web.ref)
	if got := fork.Push(t, web.ref); got != web.made.ID {
		t.Errorf("the checkpoint %s was pushed as %s", web.made.ID, got)
	}
	t.Run("after the container and its image", func(t *testing.T) {
		fork.Remove(t, web.id)
		fork.Must(t, "rmi", "tree")
		fork.CollectGarbage(t)
		id := fork.Restore(t, web.ref)
		isRestored(t, fork, id, web)
		fork.Must(t, "rmi", web.ref)
		fork.CollectGarbage(t)
		isRestored(t, fork, id, web)
		fork.Must(t, "commit", id, "on-restored")
		fork.Remove(t, id)
		fork.Must(t, "rmi", "on-restored")
		fork.Must(t, "image", "prune", "-f")
	})
	t.Run("through stock", func(t *testing.T) { throughStock(t, filepath.Join(dir, "registry"), web) })
	for how, get := range map[string][]string{"pulled": {"pull", web.ref}, "loaded": {"load", "-i", archive}} {
		t.Run(how+" elsewhere", func(t *testing.T) { restoredElsewhere(t, filepath.Join(dir, "registry"), web, get) })
	}
	fork.Remove(t, web.id)
	if got := fork.State(t); len(harness.OperationLeases(got.Leases)) > 0 || len(got.Ingests) > len(before.Ingests) {
		t.Errorf("in the end there are leases %v and ingests %v", harness.OperationLeases(got.Leases), got.Ingests)
	}
}

func shownAsCheckpoint(t *testing.T, e *harness.Env, c checkpointed) {
	list := e.Must(t, "images", "--filter", "label=io.baleen.checkpoint=files", "--format", "{{.Repository}}:{{.Tag}}")
	if list != c.ref {
		t.Errorf("images that are checkpoints: %q", list)
	}
	if comment := e.Inspect(t, c.ref, "{{.Comment}}"); comment != "checkpoint of container "+c.name {
		t.Errorf("its comment is %q", comment)
	}
	var index ocispec.Index
	record, err := e.Client.ImageService().Get(e.Context(t), c.ref)
	if err != nil {
		t.Fatal(err)
	}
	e.ReadJSON(t, record.Target, &index)
	if index.ArtifactType != checkpoint.ArtifactType || index.Annotations[checkpoint.AnnotationContainer] != c.name {
		t.Errorf("the index is %+v", index)
	}
}

func notRun(t *testing.T, e *harness.Env, c checkpointed) {
	before := e.State(t)
	for _, args := range [][]string{{"run", "--rm", c.ref}, {"run", "--rm", c.ref, "sh"}, {"create", c.ref}} {
		out, err := e.Try(t, args...)
		if err == nil || !strings.Contains(out, "docker baleen restore") {
			t.Errorf("docker %s: %v, %q", args, err, out)
		}
	}
	e.Settled(t, before)
}

// throughStock: stock Docker takes a checkpoint from a registry to another place
// in it, whole, and to run it is told what it is.
func throughStock(t *testing.T, store string, c checkpointed) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock})
	e.WithRegistry(t, store)
	e.Must(t, "pull", c.ref)
	e.Must(t, "tag", c.ref, harness.RegistryAddress+"/on/web:1")
	if got := e.Push(t, harness.RegistryAddress+"/on/web:1"); got != c.made.ID {
		t.Errorf("stock pushed the checkpoint %s as %s", c.made.ID, got)
	}
	record, err := e.Client.ImageService().Get(e.Context(t), c.ref)
	if err == nil {
		_, err = checkpoint.Read(e.Context(t), e.Client.ContentStore(), record.Target)
	}
	if err != nil {
		t.Errorf("what stock has pulled: %v", err)
	}
	if out, err := e.Try(t, "run", "--rm", c.ref); err == nil || !strings.Contains(out, "docker baleen restore makes the container again") {
		t.Errorf("stock runs it: %v, %q", err, out)
	}
}

func restoredElsewhere(t *testing.T, store string, c checkpointed, get []string) {
	e := harness.Start(t, stack.Config{})
	e.WithRegistry(t, store)
	e.Must(t, get...)
	id := e.Restore(t, c.ref)
	isRestored(t, e, id, c)
	if name := e.Inspect(t, id, "{{.Name}}"); name != "/"+c.name {
		t.Errorf("it is called %s", name)
	}
	e.Must(t, "rmi", c.ref)
	e.CollectGarbage(t)
	e.Must(t, "restart", "-t", "0", id)
	isRestored(t, e, id, c)
}

// TestCheckpointStopped keeps a container that does not run, and one that has
// moved to another image, changed nothing and has volumes and an own network.
func TestCheckpointStopped(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.Must(t, "network", "create", "reef")
	id := e.Must(t, "create", "--name", "plain", "--network", "reef", "-v", "/data", "-v", "named:/named", "busybox", "sleep", "1000")
	defer e.Remove(t, id)
	out := e.Must(t, "baleen", "checkpoint", id, "kept:1")
	for _, want := range []string{"WARNING: the files of volumes are not in the checkpoint: /data, /named", "Kept the files of " + id + " as kept:1"} {
		if !strings.Contains(out, want) {
			t.Errorf("docker baleen checkpoint printed\n%s\nwithout %q", out, want)
		}
	}
	if strings.Contains(out, "stood still") {
		t.Errorf("of a container that does not run it prints\n%s", out)
	}
	e.Remove(t, id)
	id = e.Restore(t, "kept:1", "--create-only")
	if got := e.Inspect(t, id, "{{.State.Status}} {{len .Mounts}} {{index .Config.Cmd 1}}"); got != "created 2 1000" {
		t.Errorf("what was restored is %q", got)
	}
	if got := e.Must(t, "diff", id); got != "" {
		t.Errorf("docker diff prints %q", got)
	}
	e.Remove(t, id)
	e.Must(t, "network", "rm", "reef")
	before := e.State(t)
	if out, err := e.Try(t, "baleen", "restore", "kept:1"); err == nil || !strings.Contains(out, "network reef") {
		t.Errorf("without its network: %v, %s", err, out)
	}
	e.Settled(t, before)
}

// TestCheckpointOfMoved keeps a container that stands on revisions, one of them on
// another image.
func TestCheckpointOfMoved(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	if out, err := e.Build(t, "FROM busybox\nRUN echo two > /two && rm /bin/vi\n", "-t", "two"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	id := e.Run(t, "busybox", "[ -e /one ] || echo mine > /one", "--name", "moved")
	e.Must(t, "baleen", "snapshot", id)
	e.Must(t, "exec", id, "sh", "-c", "echo more > /more")
	e.Must(t, "baleen", "upgrade", "moved", "two")
	e.Must(t, "exec", id, "sh", "-c", "rm /more; echo most > /most")
	diff := e.Must(t, "diff", id)
	e.MakeCheckpoint(t, id, "moved:1")
	e.Remove(t, id)
	again := e.Restore(t, "moved:1")
	if got := e.Must(t, "diff", again); got != diff || !strings.Contains(got, "A /most") {
		t.Errorf("docker diff prints\n%s\nand did\n%s", got, diff)
	}
	if got := e.Must(t, "exec", again, "sh", "-c", "cat /one /two /most; ls /more /bin/vi 2>&1 || true"); got !=
		"mine\ntwo\nmost\nls: /more: No such file or directory\nls: /bin/vi: No such file or directory" {
		t.Errorf("the restored container has\n%s", got)
	}
	e.Must(t, "baleen", "snapshot", again)
	e.Must(t, "exec", again, "rm", "/one")
	e.Must(t, "baleen", "rollback", again)
	e.MustRead(t, again, "/one", "mine")
}

// TestCheckpointUserNamespaces keeps a container whose ids are shifted, and makes
// it again where they are and where they are not.
func TestCheckpointUserNamespaces(t *testing.T) {
	native := harness.UsernsConfig("", nil)
	native.StorageDriver = "native"
	for name, config := range map[string]stack.Config{
		"mounted": harness.UsernsConfig("mount", nil), "copied": harness.UsernsConfig("copy", nil), "native": native,
	} {
		t.Run(name, func(t *testing.T) { checkpointUserNamespace(t, config) })
	}
}

func checkpointUserNamespace(t *testing.T, config stack.Config) {
	store := t.TempDir()
	e := harness.Start(t, config, "busybox")
	e.WithRegistry(t, store)
	const look = `stat -c '%n %a %u:%g' / /new /bin/sh /etc /deep /deep/er /twin /etc/passwd; ls /etc/group /deep/gone 2>&1; true`
	id := e.Run(t, "busybox", "[ -e /new ] || { echo new > /new; chown 7:8 /new; chmod 4755 /new; mkdir -p /deep/er; touch /deep/gone; rm /etc/group; }")
	e.Must(t, "kill", id)
	e.Must(t, "baleen", "snapshot", id)
	e.Must(t, "start", id)
	e.Must(t, "exec", id, "sh", "-c", "chown 9:10 /deep/er; rm /deep/gone; ln /new /twin; chmod 640 /etc/passwd")
	if config.StorageDriver != "native" { // layers of whole trees do not tell the root
		e.Must(t, "exec", id, "chmod", "751", "/")
	}
	want := e.Must(t, "exec", id, "sh", "-c", look)
	if !strings.Contains(want, "/new 4755 7:8") || !strings.Contains(want, "/bin/sh 755 0:0") {
		t.Fatalf("the container has\n%s", want)
	}
	ref := harness.RegistryAddress + "/shifted:1"
	e.MakeCheckpoint(t, id, ref)
	e.Push(t, ref)
	plain := harness.Start(t, stack.Config{}, "busybox")
	plain.WithRegistry(t, store)
	plain.Must(t, "pull", ref)
	for where, to := range map[string]*harness.Env{"the same": e, "one without": plain} {
		if got := to.Must(t, "exec", to.Restore(t, ref, "--name", "again"), "sh", "-c", look); got != want {
			t.Errorf("in %s the restored container has\n%s\nwant\n%s", where, got, want)
		}
	}
}

// TestRestoreRefuses: what cannot be restored is refused before there is
// anything of it.
func TestRestoreRefuses(t *testing.T) {
	e := harness.StartWithTree(t)
	web := makeCheckpoint(t, e, "web", "web:1")
	arm := otherArchitecture(t, e, web)
	before := e.State(t)
	for ref, want := range map[string]string{
		"busybox":    "not a checkpoint",
		"nothing:1":  "No such image: nothing:1",
		arm:          "for linux/s390x, and this daemon runs linux/",
		"web:1":      `The container name "/web" is already in use`,
		"not a name": "invalid reference format",
	} {
		out, err := e.Try(t, "baleen", "restore", ref)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("restore %s: %v, %q without %q", ref, err, out, want)
		}
	}
	out, err := e.Try(t, "baleen", "checkpoint", "web", "a@sha256:"+strings.Repeat("0", 64))
	if err == nil || !strings.Contains(out, "cannot have a digest") {
		t.Errorf("a digest for a name: %v, %s", err, out)
	}
	e.Settled(t, before)
	if list := strings.Fields(e.Must(t, "ps", "-aq", "--no-trunc")); !slices.Equal(list, []string{web.id}) {
		t.Errorf("there are containers %v", list)
	}
	halves(t, e, web)
}

// putCheckpoint stores one whose parts are stored.
func putCheckpoint(t *testing.T, e *harness.Env, c *checkpoint.Checkpoint, name string) {
	t.Helper()
	manifest, index, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []checkpoint.Blob{manifest, index} {
		e.PutBlob(t, b.Desc.MediaType, b.Text, b.Labels)
	}
	e.Tag(t, name, index.Desc)
}

// halves removes the parts of a checkpoint, one at a time.
func halves(t *testing.T, e *harness.Env, c checkpointed) {
	read := e.ReadCheckpoint(t, c.ref)
	var lost []string
	for what, desc := range map[string]ocispec.Descriptor{
		"the container's layer": read.Own[0].Blob, "the container's configuration": *read.Container, "the runtime spec": *read.Spec,
	} {
		if err := e.Client.ContentStore().Delete(e.Context(t), desc.Digest); err != nil {
			t.Fatal(err)
		}
		lost = append(lost, what+" ("+desc.Digest.String())
		out, err := e.Try(t, "baleen", "restore", "--name", "half", c.ref)
		for _, want := range append([]string{"is not whole here"}, lost...) {
			if err == nil || !strings.Contains(out, want) {
				t.Errorf("without %s: %v, %q lacks %q", what, err, out, want)
			}
		}
	}
}

// otherArchitecture returns a checkpoint like another, of a container elsewhere.
func otherArchitecture(t *testing.T, e *harness.Env, c checkpointed) (ref string) {
	t.Helper()
	read := e.ReadCheckpoint(t, c.ref)
	var config map[string]any
	e.ReadJSON(t, *read.Config, &config)
	config["architecture"] = "s390x"
	desc := e.PutJSON(t, ocispec.MediaTypeImageConfig, config)
	read.Config, read.Platform = &desc, ocispec.Platform{OS: "linux", Architecture: "s390x"}
	putCheckpoint(t, e, read, "elsewhere")
	return "elsewhere"
}
