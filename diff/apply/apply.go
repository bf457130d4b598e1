package apply

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/inode"
	"github.com/baleen-project/baleen/diff/internal/chunk"
	"github.com/baleen-project/baleen/diff/internal/mark"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// Options says what a layer is unpacked into. The zero value is a tree of
// its own, a mounted root for example, in which deletions delete.
type Options struct {
	// Overlay says that the target is the upper directory of an overlay, empty
	// so far: deletions become the overlay's marks.
	Overlay bool
	// Over says that the upper is not empty, and that all in it has been unpacked
	// before: this layer comes on top of those, in the same folder. Nobody must
	// have mounted it since.
	Over bool
	// UserXattr says that the overlay keeps its marks in user.overlay, not in
	// trusted.overlay (mount option userxattr).
	UserXattr bool
	// Lowers are the directories below the upper, topmost first. A parent that
	// the layer itself does not tell gets what it has there, and a hard link
	// finds its target there.
	Lowers []string
	// Below, in the place of Lowers, is asked for them when the layer first needs
	// them, which most never do: so they need not be there from the beginning. It
	// calls open with them, and they must stay where they are until open returns.
	Below func(open func(lowers []string) error) error
	// Root gives the target the owner, mode, time and attributes that the
	// layer's entry for the root has. containerd leaves such an entry out, and
	// so do we by default: archives of a temporary directory have one with
	// mode 0700.
	Root bool
	// MapIDs maps the owners that entries have, and the ids in their access control
	// lists; nil leaves them. What is copied from the lowers stays as it is there.
	MapIDs idmap.Func
	// Limit bounds the layer's size, holes of sparse files included, and its entries.
	Limit diff.Limit
	// Sync writes all to disk at the end.
	Sync bool
}

// looksPerEntry is how many files the deletions of a layer may look at, for each entry
// that it may have. One deletion looks at all that is below a name; a layer that tells
// many of one name would look at it as often.
const looksPerEntry = 4

// Stats says what a layer held.
type Stats struct {
	Entries int64 // of the tar stream
	Bytes   int64 // of the tar stream
}

// ToDir unpacks a layer into the directory target, and returns the diffID of
// what it read, which is for the caller to compare. The stream may be
// compressed with gzip or zstd; it is read to its end.
//
// Nothing outside target is touched, whatever the stream says: all names are
// resolved as if target were the root. A deletion concerns only what was there
// before the layer, wherever in the stream it stands. A file replaces what has
// its name, a directory joins another. Attributes that an overlay would take
// for marks are left out, and so are those that layers do not carry. A stream that
// is not a layer, or that asks for what the kernel has no room for, is errdefs'
// ErrInvalidArgument, one that is larger than the limit [diff.ErrOverLimit].
//
// The time that it takes follows what is read: a hole costs nothing if the stream
// only tells of it.
//
// On failure target holds part of the layer.
func ToDir(ctx context.Context, r io.Reader, target string, opts Options) (_ digest.Digest, _ Stats, err error) {
	root, err := unix.Open(target, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", Stats{}, fmt.Errorf("apply layer: open %s: %w", target, err)
	}
	defer unix.Close(root)
	in, err := openStream(ctx, r, opts.Limit)
	if err != nil {
		return "", Stats{}, fmt.Errorf("apply layer: %w", err)
	}
	a := newApplier(ctx, root, opts)
	a.in = in
	defer func() { err = errors.Join(err, a.close()) }()
	if err = errors.Join(a.run(), in.close()); err != nil {
		return "", Stats{}, fmt.Errorf("apply layer to %s: %w", target, err)
	}
	if opts.Sync {
		if err := unix.Syncfs(root); err != nil {
			return "", Stats{}, fmt.Errorf("apply layer: sync %s: %w", target, err)
		}
	}
	return in.digest(), Stats{Entries: a.entries, Bytes: in.size}, nil
}

// applier is one run of Apply.
type applier struct {
	ctx   context.Context
	opts  Options
	in    *stream
	root  int
	marks string // prefix of the overlay's attributes
	at    folder // the directory of the last entry; fd -1 if none
	asked string // the name by which it was found
	stale bool   // the name may lead elsewhere now, or the directory be changed
	times map[string]fileTimes
	// placed are the paths that this layer made, by hash in the place of an inode: a
	// deletion spares them. Only kept where deletions delete, see deletes.
	placed  inode.Table
	seed    maphash.Seed
	below   *tree.View // of the lowers, once it was needed
	held    string     // folder in the root for files that aufs kept; "" if there is none
	chunk   []byte
	room    []byte // for reading directories, once it was needed
	entries int64
	looks   int64 // at files that a deletion may concern
	unread  int64 // size of the files whose content was not read from the stream
}

func newApplier(ctx context.Context, root int, opts Options) *applier {
	return &applier{
		ctx:   ctx,
		opts:  opts,
		root:  root,
		marks: mark.Prefix(opts.UserXattr),
		at:    folder{fd: -1},
		times: map[string]fileTimes{},
		seed:  maphash.MakeSeed(),
		chunk: chunk.Take(),
	}
}

func (a *applier) close() error {
	chunk.Put(a.chunk)
	if a.at.fd >= 0 {
		_ = unix.Close(a.at.fd)
	}
	if a.below != nil {
		a.below.Close()
	}
	return a.placed.Close()
}

// run unpacks the stream to its end.
func (a *applier) run() error {
	tr := tar.NewReader(a.in)
	for {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		// Names that lead outside are taken care of here.
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return fmt.Errorf("behind %d entries: %w", a.entries, a.badStream(err))
		}
		a.entries++
		if err := a.opts.Limit.CheckEntries(a.entries); err != nil {
			return err
		}
		content := contentOf(tr, hdr)
		if err = mapIDs(hdr, a.opts.MapIDs); err == nil {
			err = a.entry(hdr, content)
		}
		if err != nil {
			return fmt.Errorf("entry %.500q: %w", hdr.Name, badEntry(err))
		}
	}
	if err := a.dropHeld(); err != nil {
		return err
	}
	if err := a.flushTimes(); err != nil {
		return err
	}
	// What follows the archive counts for the diffID.
	if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{a.in}, a.chunk); err != nil {
		return fmt.Errorf("read to the end: %w", err)
	}
	return nil
}

// badStream marks the errors of archive/tar that are about its input: all that are not
// those of reading it.
func (a *applier) badStream(err error) error {
	for _, cause := range []error{a.in.err, a.ctx.Err()} {
		if cause != nil && !errors.Is(cause, io.EOF) && errors.Is(err, cause) {
			return fmt.Errorf("read: %w", err)
		}
	}
	if errors.Is(err, tar.ErrFieldTooLong) { // the limit is that of archive/tar
		err = fmt.Errorf("a header has more than 1 MiB of records, or a name as long: %w", err)
	}
	return invalid("not a layer: %w", err)
}

// badEntry marks the errors of the kernel that are about what an entry asks for.
func badEntry(err error) error {
	for _, unfit := range []error{unix.ENAMETOOLONG, unix.EFBIG, unix.E2BIG, unix.ERANGE} {
		if errors.Is(err, unfit) && !errdefs.IsInvalidArgument(err) {
			return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
		}
	}
	return err
}

// invalid makes an error about the layer itself.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), errdefs.ErrInvalidArgument)
}

// entry unpacks one entry of the stream.
func (a *applier) entry(hdr *tar.Header, content io.Reader) error {
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name := cleanName(hdr.Name)
	if len(name) >= diff.MaxPath {
		return invalid("name of %d bytes: %w", len(name), unix.ENAMETOOLONG)
	}
	if name == "" {
		return a.rootEntry(hdr)
	}
	if isAufs(name) {
		return a.aufs(name, hdr, content)
	}
	dir, base := path.Split(name)
	at, err := a.parent(dir)
	if err != nil {
		return err
	}
	switch {
	case base == diff.OpaqueMarker:
		return a.opaque(at)
	case diff.IsReserved(base):
		return a.whiteout(at, strings.TrimPrefix(base, diff.WhiteoutPrefix))
	}
	if err := a.create(at, base, hdr, content); err != nil {
		return err
	}
	return a.place(at.join(base))
}

// rootEntry takes the entry of the root itself, "./".
func (a *applier) rootEntry(hdr *tar.Header) error {
	if !a.opts.Root {
		return nil
	}
	if hdr.Typeflag != tar.TypeDir {
		return invalid("the root must be a directory")
	}
	root := folder{fd: a.root}
	a.stale = true
	if err := a.describe(root, ".", hdr); err != nil {
		return err
	}
	return a.setTimes("", timesOf(hdr))
}

// cleanName makes a name relative to the root, which is "". The part before a
// ".." goes with it, and there is nothing above the root, as in containerd.
func cleanName(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// place remembers that this layer made a path.
func (a *applier) place(p string) error {
	if !a.deletes() {
		return nil
	}
	return a.placed.Set(a.hashOf(p), inode.Value{1})
}

// deletes reports whether there may be something of an earlier layer for a
// deletion to remove.
func (a *applier) deletes() bool { return !a.opts.Overlay || a.opts.Over }

func (a *applier) isPlaced(p string) (bool, error) {
	known, err := a.placed.Get(a.hashOf(p))
	return known != inode.Value{}, err
}

func (a *applier) hashOf(p string) inode.ID { return inode.ID{Dev: 1, Ino: maphash.String(a.seed, p)} }
