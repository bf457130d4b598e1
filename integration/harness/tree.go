package harness

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/stack"
)

// baseTree makes what changedTree changes. What is large takes several of the
// compressors' blocks.
const baseTree = `
	mkdir -p /tree/gone/deep /tree/opaque/sub /tree/kept /tree/dir-to-file
	for f in gone/deep/1 gone-file opaque/1 opaque/sub/2 kept/one dir-to-file/1 file-to-dir written; do
		echo "$f of the base" > /tree/$f
	done
	ln /tree/kept/one /tree/kept/two
	ln -s nowhere /tree/dangling
	cp /bin/busybox /tree/setuid
	chmod 4755 /tree/setuid`

// StartWithTree starts a fork and makes the image "tree" in it.
func StartWithTree(t *testing.T) *Env {
	t.Helper()
	e := Start(t, stack.Config{}, "busybox")
	id := e.Must(t, "create", "busybox", "sh", "-ec", baseTree)
	defer e.Remove(t, id)
	e.Must(t, "cp", BuildFSTool(t), id+":/fstool")
	e.Must(t, "start", "-a", id)
	e.Must(t, "commit", id, "tree")
	return e
}

// BuildFSTool compiles the program that lists trees inside containers.
func BuildFSTool(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fstool")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", path, "github.com/baleen-project/baleen/integration/fidelity/fstool")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := Output(cmd); err != nil {
		t.Fatalf("build fstool: %v\n%s", err, out)
	}
	return path
}

// LineDiff lists the lines that only one of two texts has.
func LineDiff(want, got string) string {
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	var diff []string
	for _, line := range wants {
		if !slices.Contains(gots, line) {
			diff = append(diff, "- "+line)
		}
	}
	for _, line := range gots {
		if !slices.Contains(wants, line) {
			diff = append(diff, "+ "+line)
		}
	}
	if len(diff) == 0 && len(wants) != len(gots) {
		diff = []string{fmt.Sprintf("%d lines became %d", len(wants), len(gots))}
	}
	return strings.Join(diff, "\n")
}

// TreeText tells all that a folder holds: names, contents, types, modes, owners,
// times of modification and extended attributes. Not the times of access and
// change, and the numbers of names: those a link changes.
func TreeText(t *testing.T, folder string) string {
	t.Helper()
	var text strings.Builder
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		size := st.Size
		if d.IsDir() {
			size = 0
		}
		content, err := contentOf(path, d)
		if err != nil {
			return err
		}
		attrs, err := attributesOf(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%q %o %d:%d %x %d %d.%09d %s %s\n", strings.TrimPrefix(path, folder), st.Mode, st.Uid, st.Gid, st.Rdev, size,
			st.Mtim.Sec, st.Mtim.Nsec, content, attrs)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// contentOf is a digest of a file's content, or a link's text.
func contentOf(path string, d fs.DirEntry) (string, error) {
	switch {
	case d.Type() == fs.ModeSymlink:
		return os.Readlink(path)
	case !d.Type().IsRegular():
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return fmt.Sprintf("%x", sum.Sum(nil)), errors.Join(err, f.Close())
}

// attributesOf lists the extended attributes of a file.
func attributesOf(path string) (string, error) {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		return "", err
	}
	list := strings.Split(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00")
	slices.Sort(list)
	var text strings.Builder
	for _, name := range list {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, " %s=%x", name, value[:n])
	}
	return text.String(), nil
}

// SealedFolder is where the files of a committed snapshot lie; "" if it is gone.
func (e *Env) SealedFolder(t *testing.T, name string) string {
	t.Helper()
	ctx, done, err := e.Client.WithLease(e.Context(t)) // or else the view is garbage
	if err != nil {
		t.Fatal(err)
	}
	const key = "look-at-sealed"
	sn := e.Client.SnapshotService(Snapshotter)
	mounts, err := sn.View(ctx, key, name)
	if errdefs.IsNotFound(err) { // it was garbage
		if err := done(ctx); err != nil {
			t.Fatal(err)
		}
		return ""
	}
	if err := errors.Join(err, sn.Remove(ctx, key), done(ctx)); err != nil {
		t.Fatal(err)
	}
	if mounts[0].Type == "bind" {
		return mounts[0].Source
	}
	return TopLayer(t, mounts)
}
