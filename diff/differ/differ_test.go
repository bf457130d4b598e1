package differ_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	c8ddiff "github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/differ"
	"github.com/baleen-project/baleen/integration/soak/mountns"
)

// TestMain gives the tests a mount namespace, for the snapshots that they mount.
func TestMain(m *testing.M) { mountns.Main(m.Run) }

// changes leaves out what containerd's applier and walking differ get wrong.
var changes = []struct{ name, script string }{
	{"files", `echo more >> etc/passwd; echo new > new; rm usr/bin/same; chmod 600 etc/passwd; chown 5:6 new`},
	{"directories", `rm -r var/old; mkdir var/old; echo 2 > var/old/2; mkdir -p a/b/c; touch -d @1000000000 a/b a/b/c a`},
	{"deleted", `rm -r usr var/dangling`},
	{"links", `ln -s etc/passwd link; echo x > l1; ln l1 l2; mkfifo pipe; mknod null c 1 3`},
	{"turned", `rm etc/passwd; mkdir etc/passwd; echo in > etc/passwd/in; rm -r usr; echo file > usr`},
}

// TestCompareReadsUppers makes layers of snapshots in every shape in which
// clients ask for them, and unpacks those with containerd's applier and ours.
func TestCompareReadsUppers(t *testing.T) {
	l := newLab(t)
	bottom := l.committed("overlay", "", base)
	middle := l.committed("overlay", bottom, `echo middle > middle; rm etc/passwd; echo root2 > etc/passwd`)
	for _, c := range changes {
		for _, on := range []struct{ name, key string }{{"on one layer", bottom}, {"on two", middle}} {
			for _, kind := range []string{"active", "committed"} {
				t.Run(c.name+" "+on.name+", "+kind, func(t *testing.T) {
					in := l.in(t)
					make := in.active
					if kind == "committed" {
						make = in.committed
					}
					key := make("overlay", on.key, c.script)
					desc := in.diff("overlay", key)
					if in.fellBack() {
						t.Error("whole trees were compared")
					}
					in.gives(in.d, desc, "overlay", on.key, key)
					if in.fellBack() {
						t.Error("containerd's applier was used")
					}
					in.gives(apply.NewFileSystemApplier(in.store), desc, "overlay", on.key, key)
				})
			}
		}
	}
}

func TestCompareWithoutParent(t *testing.T) {
	l := newLab(t)
	for _, key := range []string{l.active("overlay", "", base), l.committed("overlay", "", base)} {
		desc := l.diff("overlay", key)
		if l.fellBack() {
			t.Error("whole trees were compared")
		}
		l.gives(l.d, desc, "overlay", "", key)
	}
	key := l.active("overlay", l.committed("overlay", "", base), "echo new > new")
	mounts, err := l.sn("overlay").Mounts(l.ctx, key)
	check(t, err)
	desc, err := l.d.Compare(l.ctx, nil, mounts)
	check(t, err)
	if l.fellBack() {
		t.Error("whole trees were compared")
	}
	l.gives(l.d, desc, "overlay", "", key)
}

// TestCompareSeveralLayers compares with a grandparent, and with itself.
func TestCompareSeveralLayers(t *testing.T) {
	l := newLab(t)
	bottom := l.committed("overlay", "", base)
	top := l.committed("overlay", l.committed("overlay", bottom, changes[0].script), changes[1].script)
	key := l.active("overlay", top, changes[3].script)
	lower, err := l.sn("overlay").View(l.ctx, "lower", bottom)
	check(t, err)
	upper, err := l.sn("overlay").Mounts(l.ctx, key)
	check(t, err)
	desc, err := l.d.Compare(l.ctx, lower, upper)
	check(t, err)
	l.gives(l.d, desc, "overlay", bottom, key)
	desc, err = l.d.Compare(l.ctx, upper, upper)
	check(t, err)
	if got := l.entries(desc); l.fellBack() || len(got) != 0 {
		t.Errorf("a snapshot differs from itself: %v", got)
	}
}

// TestCompareFallsBack: the walking differ sees what we cannot, and the log says
// so.
func TestCompareFallsBack(t *testing.T) {
	l := newLab(t)
	for name, types := range map[string][]string{
		"native":  {"", images.MediaTypeDockerSchema2LayerGzip, ocispec.MediaTypeImageLayer},
		"overlay": {images.MediaTypeDockerSchema2Layer},
	} {
		for _, mediaType := range types {
			bottom := l.committed(name, "", base)
			key, sibling := l.active(name, bottom, changes[0].script), l.active(name, bottom, "true")
			upper, err := l.sn(name).Mounts(l.ctx, key)
			check(t, err)
			lower, err := l.sn(name).Mounts(l.ctx, sibling)
			check(t, err)
			desc, err := l.d.Compare(l.ctx, lower, upper, c8ddiff.WithMediaType(mediaType))
			check(t, err)
			if !l.fellBack() {
				t.Errorf("%s: the log says nothing", name)
			}
			if want := mediaType; desc.MediaType != want && want != "" {
				t.Errorf("%s: the layer is %s, not %s", name, desc.MediaType, want)
			}
			l.gives(l.d, desc, name, bottom, key)
			l.told.Reset()
		}
	}
}

func TestCompareMediaTypes(t *testing.T) {
	l := newLab(t)
	bottom := l.committed("overlay", "", base)
	key := l.active("overlay", bottom, changes[0].script)
	for _, mediaType := range []string{
		ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd,
		images.MediaTypeDockerSchema2Layer, images.MediaTypeDockerSchema2LayerGzip, images.MediaTypeDockerSchema2LayerZstd,
	} {
		t.Run(mediaType, func(t *testing.T) {
			in := l.in(t)
			desc := in.diff("overlay", key, c8ddiff.WithMediaType(mediaType))
			if desc.MediaType != mediaType || in.fellBack() {
				t.Errorf("made %+v", desc)
			}
			in.gives(in.d, desc, "overlay", bottom, key)
		})
	}
	if desc := l.diff("overlay", key); desc.MediaType != ocispec.MediaTypeImageLayerGzip {
		t.Errorf("by default made %+v", desc)
	}
	_, err := rootfs.CreateDiff(l.ctx, key, l.sn("overlay"), l.d, c8ddiff.WithMediaType("application/whale"))
	if !errdefs.IsNotImplemented(err) {
		t.Errorf("of an unknown type: %v", err)
	}
}

func TestCompareOptions(t *testing.T) {
	l := newLab(t)
	bottom := l.committed("overlay", "", base)
	key := l.active("overlay", bottom, `echo old > old; touch -d @1000000000 old; echo new > new; touch -d @1500000000 new; rm etc/passwd`)
	epoch := time.Unix(1200000000, 5)
	labels := map[string]string{"whale": "blue"}
	desc := l.diff("overlay", key, c8ddiff.WithSourceDateEpoch(&epoch), c8ddiff.WithLabels(labels), c8ddiff.WithReference("mine"))
	want := map[string]int64{"old": 1000000000, "new": 1200000000, "etc/": 1200000000, "etc/.wh.passwd": 0}
	got := map[string]int64{}
	for name, at := range l.entries(desc) {
		got[name] = at.Unix()
	}
	if !maps.Equal(got, want) {
		t.Errorf("the layer has %v, want %v", got, want)
	}
	info, err := l.store.Info(l.ctx, desc.Digest)
	check(t, err)
	if info.Labels["whale"] != "blue" || len(labels) != 1 {
		t.Errorf("the layer is labelled %v, the caller's labels are now %v", info.Labels, labels)
	}

	// Again, and what is there already gets what it lacks.
	desc2 := l.diff("overlay", key, c8ddiff.WithSourceDateEpoch(&epoch), c8ddiff.WithLabels(map[string]string{"krill": "red"}))
	info, err = l.store.Info(l.ctx, desc2.Digest)
	check(t, err)
	if desc2.Digest != desc.Digest || info.Labels["krill"] != "red" || info.Labels["whale"] != "blue" || info.Labels["containerd.io/uncompressed"] == "" {
		t.Errorf("the second time made %+v with %v", desc2, info.Labels)
	}

	compressor := c8ddiff.WithCompressor(func(w io.Writer, mediaType string) (io.WriteCloser, error) {
		_, err := fmt.Fprintln(w, mediaType)
		return nopCloser{w}, err
	})
	desc = l.diff("overlay", key, compressor, c8ddiff.WithMediaType("application/whale"))
	blob, err := content.ReadBlob(l.ctx, l.store, desc)
	check(t, err)
	stream, ok := bytes.CutPrefix(blob, []byte("application/whale\n"))
	info, err = l.store.Info(l.ctx, desc.Digest)
	check(t, err)
	if !ok || desc.MediaType != "application/whale" || info.Labels["containerd.io/uncompressed"] != digest.FromBytes(stream).String() {
		t.Errorf("by a compressor of the caller's made %+v", desc)
	}
	if _, err := rootfs.CreateDiff(l.ctx, key, l.sn("overlay"), l.d, compressor); !errdefs.IsInvalidArgument(err) {
		t.Errorf("by one without a media type: %v", err)
	}
	tooLong := c8ddiff.WithLabels(map[string]string{"whale": strings.Repeat("x", 5000)})
	if _, err := l.d.Compare(l.ctx, nil, nil, tooLong); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "whale") {
		t.Errorf("with a label that is too long, before anything is read: %v", err)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// TestCompareLeavesNothing: what fails half-way is dropped.
func TestCompareLeavesNothing(t *testing.T) {
	l := newLab(t)
	bottom := l.committed("overlay", "", base)
	key := l.active("overlay", bottom, `echo first > a; echo x > .wh.etc`)
	if _, err := rootfs.CreateDiff(l.ctx, key, l.sn("overlay"), l.d); !errors.Is(err, diff.ErrReserved) {
		t.Errorf("a whiteout's name: %v", err)
	}
	ctx, cancel := context.WithCancel(l.ctx)
	cancel()
	mounts, err := l.sn("overlay").Mounts(l.ctx, l.active("overlay", bottom, "echo > x"))
	check(t, err)
	lower, err := l.sn("overlay").View(l.ctx, "lower", bottom)
	check(t, err)
	if _, err := l.d.Compare(ctx, lower, mounts); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestApplyElsewhere(t *testing.T) {
	l := newLab(t)
	bottom := l.committed("overlay", "", base)
	desc := l.diff("overlay", l.active("overlay", bottom, changes[0].script))
	nativeBottom := l.committed("native", "", base)
	l.gives(l.d, desc, "native", nativeBottom, l.active("native", nativeBottom, changes[0].script))
	if l.fellBack() {
		t.Error("containerd's applier was used for a bind mount")
	}

	// Into a snapshot that somebody has changed: deletions hit those changes too.
	key := l.active("overlay", bottom, "echo mine > mine; echo mine > usr/bin/same.2; chmod 600 usr/bin/same")
	mounts, err := l.sn("overlay").Mounts(l.ctx, key)
	check(t, err)
	_, err = l.d.Apply(l.ctx, desc, mounts)
	check(t, err)
	if l.fellBack() {
		t.Error("containerd's applier was used where there were changes")
	}
	l.view("overlay", key, func(root string) {
		if _, err := os.Lstat(filepath.Join(root, "usr/bin/same")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what the layer deletes is still there: %v", err)
		}
		if _, err := os.Lstat(filepath.Join(root, "mine")); err != nil {
			t.Error(err)
		}
	})

	foreign := desc
	foreign.MediaType = images.MediaTypeDockerSchema2LayerForeignGzip
	nativeKey := l.active("native", nativeBottom, "true")
	mounts, err = l.sn("native").Mounts(l.ctx, nativeKey)
	check(t, err)
	if _, err := l.d.Apply(l.ctx, foreign, mounts); err != nil || !l.fellBack() {
		t.Errorf("a type that is containerd's: %v, or the log says nothing", err)
	}
	if _, err := differ.New(l.store, differ.Options{Remote: true}).Apply(l.ctx, foreign, mounts); !errdefs.IsNotImplemented(err) {
		t.Errorf("the same from another process: %v", err)
	}
	desc.MediaType = "application/whale"
	if _, err := l.d.Apply(l.ctx, desc, mounts); !errdefs.IsNotImplemented(err) {
		t.Errorf("a type that has no stream processor: %v", err)
	}
	missing := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString("nothing"), Size: 5}
	to := l.active("overlay", bottom, "true")
	mounts, err = l.sn("overlay").Mounts(l.ctx, to)
	check(t, err)
	if _, err := l.d.Apply(l.ctx, missing, mounts); !errdefs.IsNotFound(err) {
		t.Errorf("a layer that is not there: %v", err)
	}
}
