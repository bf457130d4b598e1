package harness

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/dump"
	"github.com/baleen-project/baleen/integration/fidelity"
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
	if err := fidelity.BuildTool(t.Context(), "github.com/baleen-project/baleen/integration/fidelity/fstool", path); err != nil {
		t.Fatal(err)
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
	err := dump.Files(folder, func(f dump.File) error {
		st := &f.Stat
		size := st.Size
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			size = 0
		}
		fmt.Fprintf(&text, "%q %o %d:%d %d %d.%09d %s %s\n", strings.TrimPrefix(f.Path, folder), st.Mode, st.Uid, st.Gid, size,
			st.Mtim.Sec, st.Mtim.Nsec, f.Content, f.AttributesText())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
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
