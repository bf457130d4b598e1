package commit_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/bench/procfs"
	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/fault/sysfault"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

const (
	// placedFile is what a commit of these tests stores: 8 MB that nothing compresses.
	placedFile  = "dd if=/dev/urandom of=/big bs=1M count=8 2>/dev/null; md5sum /big"
	placedBytes = 8 << 20
	// sentMessage is in dockerd's log if blobs are sent.
	sentMessage = "blobs are sent to containerd"
)

// blobFolder is where containerd keeps blobs.
func blobFolder(e *harness.Env) string {
	return filepath.Join(e.ContainerdRoot(), "io.containerd.content.v1.content", "blobs", "sha256")
}

// unrecorded lists the files of blobs that containerd has no record of.
func unrecorded(t *testing.T, e *harness.Env) ([]string, error) {
	files, err := os.ReadDir(blobFolder(e))
	if err != nil {
		return nil, err
	}
	unknown := map[string]bool{}
	for _, f := range files {
		unknown[f.Name()] = true
	}
	spaces, err := e.Client.NamespaceService().List(t.Context())
	if err != nil {
		return nil, err
	}
	for _, space := range spaces {
		err := e.Client.ContentStore().Walk(namespaces.WithNamespace(t.Context(), space), func(i content.Info) error {
			delete(unknown, i.Digest.Encoded())
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.Collect(maps.Keys(unknown)), nil
}

// allRecorded returns an error unless containerd has a record of all files of blobs.
func allRecorded(t *testing.T, e *harness.Env) error {
	left, err := unrecorded(t, e)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("containerd has no record of %v", left)
	}
	return err
}

// collect has containerd collect garbage, and remove all files that it has no record of.
func collect(t *testing.T, e *harness.Env) error {
	ctx := e.Context(t)
	l, err := e.Client.LeasesService().Create(ctx, leases.WithRandomID())
	if err != nil {
		return err
	}
	text := []byte(l.ID)
	desc := ocispec.Descriptor{Digest: digest.FromBytes(text), Size: int64(len(text))}
	err = content.WriteBlob(leases.WithLease(ctx, l.ID), e.Client.ContentStore(), l.ID, strings.NewReader(l.ID), desc)
	return errors.Join(err, e.Client.LeasesService().Delete(ctx, l, leases.SynchronousDelete))
}

// commitPlaced commits new bytes of a container, looks at the image, and returns how many
// bytes containerd read meanwhile. The image is removed.
func commitPlaced(t *testing.T, e *harness.Env, id string) int64 {
	t.Helper()
	sum := e.Must(t, "exec", id, "sh", "-c", placedFile)
	gauge, err := procfs.Start(e.Pid(stack.Containerd))
	if err != nil {
		t.Fatal(err)
	}
	image := e.Must(t, "commit", id)
	used, err := gauge.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Must(t, "run", "--rm", "--network=none", image, "md5sum", "/big"); got != sum {
		t.Errorf("the image holds %q, and the container %q", got, sum)
	}
	for name, mode := range wholeBlobs(t, e) {
		if mode != 0o444 {
			t.Errorf("blob %s has the mode %v", name, mode)
		}
	}
	e.Must(t, "rmi", image)
	return used.ReadChars
}

// wholeBlobs looks at the files of all blobs, and returns their modes by their names.
// containerd sets the mode of a blob that it was sent after it has given it its name.
func wholeBlobs(t *testing.T, e *harness.Env) map[string]fs.FileMode {
	t.Helper()
	modes := map[string]fs.FileMode{}
	files, err := os.ReadDir(blobFolder(e))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(blobFolder(e), f.Name())
		file, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) { // collected
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		dgst, err := digest.FromReader(file)
		_ = file.Close() // it was read alone
		if err != nil || dgst.Encoded() != f.Name() {
			t.Errorf("blob %s has the digest %s: %v", f.Name(), dgst, err)
		}
		modes[f.Name()] = info.Mode()
	}
	return modes
}

// mustPlace fails unless a commit's layer is placed, or sent with reasons in the log, each
// once for two commits.
func mustPlace(t *testing.T, e *harness.Env, id string, reasons ...string) {
	t.Helper()
	before := len(e.LogTail(stack.Dockerd, 1<<20))
	for range 2 {
		if read := commitPlaced(t, e, id); (read > placedBytes/2) == (len(reasons) == 0) {
			t.Errorf("containerd has read %d bytes; reasons to send: %q", read, reasons)
		}
	}
	log := e.LogTail(stack.Dockerd, 1<<20)[before:]
	if n := strings.Count(log, sentMessage); n != len(reasons) {
		t.Errorf("the log says %d times that %s", n, sentMessage)
	}
	for _, reason := range reasons {
		if !strings.Contains(log, reason) {
			t.Errorf("the log does not say %q:\n%s", reason, log)
		}
	}
	harness.Eventually(t, "all files to be recorded", func() error {
		if err := collect(t, e); err != nil {
			return err
		}
		return allRecorded(t, e)
	})
	e.Consistent(t)
}

// TestBlobsArePlaced: containerd reads nothing of the layers that are committed, whichever
// containerd it is; and it is sent the bytes where it shares no content.
func TestBlobsArePlaced(t *testing.T) {
	bin, err := stack.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config  stack.Config
		reasons []string
	}{
		"default":        {},
		"containerd 2.4": {config: stack.Config{ContainerdBin: filepath.Join(bin, harness.Proxied["containerd 2.4"])}},
		"isolated": {
			stack.Config{ContainerdConfig: "[plugins.'io.containerd.metadata.v1.bolt']\ncontent_sharing_policy = 'isolated'\n"},
			[]string{`content_sharing_policy is \"isolated\"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(c.config.ContainerdBin); c.config.ContainerdBin != "" && errors.Is(err, os.ErrNotExist) {
				t.Skipf("there is no %s: run `make newest`", c.config.ContainerdBin)
			}
			e := harness.Start(t, c.config, "busybox")
			id := e.Run(t, "busybox", "true")
			mustPlace(t, e, id, c.reasons...)
		})
	}
}

// TestBlobsWhereTheyCannotBePlaced: the calls that place a blob fail, as they do on other
// file systems, and the bytes are sent.
func TestBlobsWhereTheyCannotBePlaced(t *testing.T) {
	e, in := newSysfaultEnv(t, "busybox")
	id := e.Run(t, "busybox", "true")
	for _, c := range []struct {
		call  string
		nth   int
		errno unix.Errno
	}{
		// The folder is opened twice, and then to make a file without a name.
		{"openat", 3, unix.EOPNOTSUPP},
		{"fchmod", 1, unix.EPERM},
		{"linkat", 1, unix.EXDEV},
	} {
		t.Run(c.call+" "+c.errno.Error(), func(t *testing.T) {
			defer in.Set(nil)
			var calls atomic.Int64
			in.Set(func(call sysfault.Call) unix.Errno {
				if call.Name == c.call && strings.HasPrefix(call.Path+"/", blobFolder(e)+"/") && calls.Add(1) == int64(c.nth) {
					return c.errno
				}
				return 0
			})
			if err := errors.Join(e.StopDockerd(t.Context()), e.StartDockerd(t.Context())); err != nil {
				t.Fatal(err)
			}
			e.Must(t, "start", id)
			mustPlace(t, e, id, c.errno.Error())
		})
	}
}

// TestBlobsOfAnotherMountNamespace: the folder that containerd tells of is another one for
// dockerd, with files, or is not there. Nothing is left in it.
func TestBlobsOfAnotherMountNamespace(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	store := filepath.Dir(filepath.Dir(blobFolder(e)))
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ make, reason string }{
		"another folder": {"mkdir -p " + blobFolder(e), "its folder is another one"},
		"no folder":      {"true", "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := e.StopDockerd(t.Context()); err != nil {
				t.Fatal(err)
			}
			e.StartWithin(unshare, "--mount", "--propagation", "slave", "sh", "-ec", "mount -t tmpfs none "+store+"; "+c.make+`; exec "$@"`, "sh")
			defer e.StartWithin()
			before := len(e.LogTail(stack.Dockerd, 1<<20))
			if err := e.StartDockerd(t.Context()); err != nil {
				t.Fatal(err)
			}
			// In this namespace containers can be made, and not run.
			id := e.Create(t, "busybox", "true")
			text := filepath.Join(t.TempDir(), "text")
			harness.WriteFile(t, text, name)
			e.Must(t, "cp", text, id+":/text")
			image := e.Must(t, "commit", id)
			log := e.LogTail(stack.Dockerd, 1<<20)[before:]
			if strings.Count(log, sentMessage) != 1 || !strings.Contains(log, c.reason) {
				t.Errorf("the log does not say once that %s, and %q:\n%s", sentMessage, c.reason, log)
			}
			seen := fmt.Sprintf("/proc/%d/root%s", e.Pid(stack.Dockerd), blobFolder(e))
			if files, err := os.ReadDir(seen); len(files) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("dockerd's folder has %v: %v", files, err)
			}
			if err := e.StopDockerd(t.Context()); err != nil {
				t.Fatal(err)
			}
			e.StartWithin()
			if err := e.StartDockerd(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := e.Must(t, "run", "--rm", "--network=none", image, "cat", "/text"); got != name {
				t.Errorf("the image holds %q", got)
			}
			wholeBlobs(t, e)
		})
	}
}

// TestBlobCollectedBeforeItIsRecorded has containerd collect garbage when a blob has its
// name, and before containerd is told of it.
func TestBlobCollectedBeforeItIsRecorded(t *testing.T) {
	e, p := harness.StartFaulty(t, "busybox")
	id := e.Run(t, "busybox", "true")
	before := e.State(t)
	collected := 0
	for n := 1; ; n++ {
		sum := e.Must(t, "exec", id, "sh", "-c", placedFile)
		var failed error
		p.Set(fault.Plan{Methods: []string{"Content/Write"}, Nth: n, Pass: true, Do: func() {
			before, err := unrecorded(t, e)
			after, later := []string(nil), collect(t, e)
			if later == nil {
				after, later = unrecorded(t, e)
			}
			failed = errors.Join(err, later)
			collected += len(before) - len(after)
		}})
		image := e.Must(t, "commit", id)
		_, where := p.Clear()
		if failed != nil {
			t.Fatal(failed)
		}
		if got := e.Must(t, "run", "--rm", "--network=none", image, "md5sum", "/big"); got != sum {
			t.Errorf("the image holds %q, and the container %q", got, sum)
		}
		e.Must(t, "rmi", image)
		e.Settled(t, before)
		if where == "" {
			break
		}
	}
	if collected == 0 {
		t.Error("no blob has been collected")
	}
	if log := e.LogTail(stack.Dockerd, 1<<20); strings.Contains(log, sentMessage) {
		t.Errorf("blobs are not placed any more:\n%s", log)
	}
	e.Consistent(t)
}

// TestBlobsOfKilledCommits kills the daemons when a blob has its name, before containerd
// is told of it and when it has recorded it. No file is left that containerd has no record
// of, without anybody's help.
func TestBlobsOfKilledCommits(t *testing.T) {
	e, p := harness.StartFaultyWith(t, stack.Config{DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	id := e.Run(t, "busybox", "true")
	big := filepath.Join(t.TempDir(), "big")
	left := 0
	for _, d := range []stack.Daemon{stack.Dockerd, stack.Containerd} {
		for _, after := range []bool{false, true} {
			for n := 1; n <= 4; n++ { // a commit stores four blobs
				// Not by docker exec: containerd may tell of its end while dockerd does not listen
				// again yet, and then it lasts for ever.
				harness.WriteFile(t, big, randomText(t, placedBytes))
				e.Must(t, "cp", big, id+":/big")
				kill, start := e.KillDockerd, e.StartDockerd
				if d == stack.Containerd {
					kill, start = e.KillContainerd, e.StartContainerd
				}
				killed := make(chan error, 1)
				p.Set(fault.Plan{Methods: []string{"Content/Write"}, Nth: n, After: after, Do: func() {
					files, err := unrecorded(t, e)
					left += len(files)
					killed <- errors.Join(err, kill(t.Context()))
				}})
				out, failed := e.Try(t, "commit", id)
				_, where := p.Clear()
				if where == "" {
					t.Fatalf("a commit has less than %d blobs", n)
				}
				if err := errors.Join(<-killed, start(t.Context())); err != nil {
					t.Fatal(err)
				}
				harness.Eventually(t, "the daemons to answer and the files to go", func() error {
					if said, err := e.Try(t, "diff", id); err != nil {
						return fmt.Errorf("%w: %s", err, said)
					}
					if err := allRecorded(t, e); err != nil {
						return fmt.Errorf("%s killed at blob %d, recorded %v: %w", d, n, after, err)
					}
					return nil
				})
				if failed == nil {
					e.Must(t, "rmi", out)
				}
				wholeBlobs(t, e)
			}
		}
	}
	if left == 0 {
		t.Error("no blob was placed and not recorded when a daemon was killed")
	}
	e.Consistent(t)
}

// randomText returns bytes that nothing compresses.
func randomText(t *testing.T, size int) string {
	t.Helper()
	text := make([]byte, size)
	if _, err := rand.Read(text); err != nil {
		t.Fatal(err)
	}
	return string(text)
}
