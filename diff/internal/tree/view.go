package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/inode"
	"github.com/baleen-project/baleen/diff/internal/mark"
	"github.com/baleen-project/baleen/diff/xattr"
)

// View reads a stack of overlay layers as the kernel would show them merged. It
// holds one descriptor for each layer's root, and works from descriptors only:
// a container that runs cannot lead it elsewhere by moving directories about.
type View struct {
	Roots  []int // of the layers, topmost first
	Prefix string
	base   int // how many layers lie above the base
	// MapIDs maps the owners in the first mapped layers.
	MapIDs idmap.Func
	Mapped int
	// Whole says that attributes count that no layer carries, see [xattr.KeptOf].
	Whole bool
	Ctx   context.Context // of what is read of files; nil does not end
}

// OpenView opens layers, topmost first, of which so many lie above the base. It is for
// the caller to close.
func OpenView(layers []string, base int, userXattr bool) (_ *View, err error) {
	v := &View{Prefix: mark.Trusted, base: base}
	if userXattr {
		v.Prefix = mark.User
	}
	defer func() {
		if err != nil {
			v.Close()
		}
	}()
	for _, l := range layers {
		fd, err := unix.Open(l, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: l, Err: err}
		}
		v.Roots = append(v.Roots, fd)
	}
	return v, nil
}

// Close closes the roots of the layers. Directories stay open.
func (v *View) Close() {
	for _, fd := range v.Roots {
		_ = unix.Close(fd)
	}
	v.Roots = nil
}

// InBase reports whether a layer is one of the base.
func (v *View) InBase(layer int) bool { return layer >= v.base }

// MapOf maps the owners in a layer.
func (v *View) MapOf(layer int) idmap.Func {
	if layer < v.Mapped {
		return v.MapIDs
	}
	return nil
}

// StatRoot is fstat for the topmost part of a root.
func (v *View) StatRoot(d *Dir) (st unix.Stat_t, err error) {
	if err = unix.Fstat(d.parts[0].fd, &st); err == nil {
		err = idmap.MapStat(&st, v.MapOf(d.parts[0].layer))
	}
	return st, err
}

// Xattrs are the attributes of a file that a layer carries, or more of a Whole view.
func (v *View) Xattrs(e *Entry) ([]xattr.Attr, error) {
	f := xattr.Path(e.Path())
	names, err := xattr.List(f)
	if err != nil {
		return nil, err
	}
	return v.XattrsOf(f, names, e.Layer)
}

// XattrsOf is Xattrs for a file in a layer whose attributes have those names.
func (v *View) XattrsOf(f xattr.File, names []string, layer int) (attrs []xattr.Attr, err error) {
	ids := v.MapOf(layer)
	if v.Whole {
		attrs, err = xattr.KeptOf(f, names, v.Prefix, ids != nil)
	} else {
		attrs, err = xattr.CarriedOf(f, names)
	}
	if err != nil {
		return nil, err
	}
	return attrs, xattr.MapACLs(attrs, ids)
}

// Root is the merged root of the layers from one on, one of which may be left
// out; nil if there are none.
func (v *View) Root(from, without int) (*Dir, error) {
	d := &Dir{Plain: true, without: without}
	for i := from; i < len(v.Roots); i++ {
		if i == without && without > 0 {
			continue
		}
		p, err := openPart(i, v.Roots[i])
		if err != nil {
			d.Close()
			return nil, err
		}
		d.parts = append(d.parts, p)
	}
	if len(d.parts) == 0 {
		return nil, nil
	}
	return d, nil
}

// Lookup finds what shows under a name in a merged directory; ok is false if
// nothing does, and then the entry is the whiteout, if there is one.
func (v *View) Lookup(d *Dir, name string) (e Entry, ok bool, err error) {
	if d == nil {
		return Entry{}, false, nil
	}
	return v.lookupFrom(d, name, 0)
}

func (v *View) lookupFrom(d *Dir, name string, from int) (e Entry, ok bool, err error) {
	for i := from; i < len(d.parts); i++ {
		e := Entry{Name: name, Layer: d.parts[i].layer, in: d.parts[i]}
		err := unix.Fstatat(e.DirFD(), name, &e.Stat, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return Entry{}, false, &fs.PathError{Op: "stat", Path: name, Err: err}
		}
		gone, err := v.gone(&e)
		if err == nil && !gone { // whose owner means nothing
			err = idmap.MapStat(&e.Stat, v.MapOf(e.Layer))
		}
		if err != nil {
			return Entry{}, false, err
		}
		return e, !gone, nil
	}
	return Entry{}, false, nil
}

// gone reports whether an entry is a whiteout of either form. The form without
// a device is an empty file with a mark (overlayfs.rst, "whiteouts and opaque
// directories").
func (v *View) gone(e *Entry) (bool, error) {
	if mark.IsWhiteout(&e.Stat) {
		return true, nil
	}
	if e.Stat.Mode&unix.S_IFMT != unix.S_IFREG || e.Stat.Size != 0 {
		return false, nil
	}
	_, marked, err := v.Mark(e.Path(), "whiteout")
	return marked, err
}

// Mark reads a mark of the overlay from a file.
func (v *View) Mark(path, name string) (value string, ok bool, err error) {
	text, err := xattr.Get(xattr.Path(path), v.Prefix+name)
	switch {
	case err == nil:
		return string(text), true, nil
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EPERM):
		// EPERM: attributes of the user cannot be on links and devices.
		return "", false, nil
	default:
		return "", false, fmt.Errorf("read mark %s: %w", name, err)
	}
}

// redirect reads where in the layers below a renamed directory, or the data of a
// renamed file, was: a name in the same directory, or a path from the root. What the
// kernel refuses as such is an error (fs/overlayfs/namei.c, ovl_get_redirect_xattr).
func (v *View) redirect(path string) (target string, ok bool, err error) {
	target, ok, err = v.Mark(path, "redirect")
	if err == nil && ok && !isRedirect(target) {
		err = fmt.Errorf("%w: an overlay with a redirect to %q", diff.ErrUnsupported, target)
	}
	return target, ok, err
}

func isRedirect(target string) bool {
	if strings.ContainsRune(target, 0) {
		return false
	}
	rest, isPath := strings.CutPrefix(target, "/")
	names := strings.Split(rest, "/")
	return (isPath || len(names) == 1) && !slices.ContainsFunc(names, func(name string) bool {
		return name == "" || name == "." || name == ".."
	})
}

// Open opens the merged directory that an entry of d is.
func (v *View) Open(d *Dir, e Entry) (_ *Dir, err error) {
	sub := &Dir{Plain: d.Plain, without: d.without}
	defer func() {
		if err != nil {
			sub.Close()
		}
	}()
	below, name := d, e.Name // where the next lower part is looked for
	from := 0
	for {
		found, ok, err := v.lookupFrom(below, name, from)
		if err != nil {
			return nil, err
		}
		if !ok || !found.IsDir() {
			// What hides the base, other than the base itself, makes the
			// directory a new one, marked so or not.
			if found.Name != "" && found.Layer < v.base {
				sub.Plain = false
			}
			return sub, nil
		}
		fd, err := OpenDirAt(found.DirFD(), found.Name)
		if err != nil {
			return nil, err
		}
		sub.parts = append(sub.parts, &part{found.Layer, fd, inode.Of(&found.Stat)})
		p := fmt.Sprint("/proc/self/fd/", fd, "/.") // not the link in /proc
		if opaque, _, err := v.Mark(p, "opaque"); err != nil {
			return nil, err
		} else if opaque == mark.OpaqueYes {
			sub.Plain = false
			return sub, nil
		}
		redirect, moved, err := v.redirect(p)
		if err != nil {
			return nil, err
		}
		if moved {
			sub.Plain = false
			return sub, v.follow(sub, below, found.Layer, redirect)
		}
		for from = 0; from < len(below.parts) && below.parts[from].layer <= found.Layer; from++ {
		}
	}
}

// OpenName opens the merged directory of a name; ErrChanged if there is none.
func (v *View) OpenName(d *Dir, name string) (*Dir, error) {
	e, ok, err := v.Lookup(d, name)
	if err != nil {
		return nil, err
	}
	if !ok || !e.IsDir() {
		return nil, diff.ErrChanged
	}
	return v.Open(d, e)
}

// follow adds the parts of a renamed directory that lie in the layers below:
// at another name in the same directory, or at a path from the root.
func (v *View) follow(sub, parent *Dir, layer int, redirect string) error {
	at, name := parent.below(layer), redirect
	if path.IsAbs(redirect) {
		var err error
		if at, err = v.Descend(layer+1, parent.without, path.Dir(redirect)); err != nil {
			return err
		}
		defer at.Close()
		name = path.Base(redirect)
	}
	e, ok, err := v.Lookup(at, name)
	if err != nil || !ok || !e.IsDir() {
		return err
	}
	lower, err := v.Open(at, e)
	if err != nil {
		return err
	}
	sub.parts = append(sub.parts, lower.parts...)
	return nil
}

// Descend opens a directory by its path from the root of the layers from one
// on, without another; nil if there is none.
func (v *View) Descend(layer, without int, p string) (*Dir, error) {
	at, err := v.Root(layer, without)
	if err != nil || at == nil {
		return at, err
	}
	for _, name := range pathNames(p) {
		e, ok, err := v.Lookup(at, name)
		if err != nil || !ok || !e.IsDir() {
			at.Close()
			return nil, err
		}
		next, err := v.Open(at, e)
		at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// pathNames are the elements of an absolute path.
func pathNames(p string) []string {
	return strings.FieldsFunc(path.Clean(p), func(r rune) bool { return r == '/' })
}
