package diff

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/inode"
)

// view reads a stack of overlay layers as the kernel would show them merged. It
// holds one descriptor for each layer's root, and works from descriptors only:
// a container that runs cannot lead it elsewhere by moving directories about.
type view struct {
	roots  []int // of the layers, topmost first
	prefix string
	base   int // how many layers lie above the base
	// mapIDs maps the owners in the first mapped layers.
	mapIDs MapFunc
	mapped int
	ctx    context.Context // of what is read of files; nil does not end
}

func openView(layers []string, base int, userXattr bool) (_ *view, err error) {
	v := &view{prefix: trustedOverlay, base: base}
	if userXattr {
		v.prefix = userOverlay
	}
	defer func() {
		if err != nil {
			v.close()
		}
	}()
	for _, l := range layers {
		fd, err := unix.Open(l, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: l, Err: err}
		}
		v.roots = append(v.roots, fd)
	}
	return v, nil
}

func (v *view) close() {
	for _, fd := range v.roots {
		_ = unix.Close(fd)
	}
	v.roots = nil
}

// mapOf maps the owners in a layer.
func (v *view) mapOf(layer int) MapFunc {
	if layer < v.mapped {
		return v.mapIDs
	}
	return nil
}

// statRoot is fstat for the topmost part of a root.
func (v *view) statRoot(d *dir) (st unix.Stat_t, err error) {
	if err = unix.Fstat(d.parts[0].fd, &st); err == nil {
		err = mapStat(&st, v.mapOf(d.parts[0].layer))
	}
	return st, err
}

// xattrs are the attributes of a file that a layer carries.
func (v *view) xattrs(e *entry) ([]Xattr, error) {
	attrs, err := CarriedXattrs(e.path())
	if err != nil {
		return nil, err
	}
	return attrs, mapACLs(attrs, v.mapOf(e.layer))
}

// root is the merged root of the layers from one on, one of which may be left
// out; nil if there are none.
func (v *view) root(from, without int) (*dir, error) {
	d := &dir{plain: true, without: without}
	for i := from; i < len(v.roots); i++ {
		if i == without && without > 0 {
			continue
		}
		p, err := openPart(i, v.roots[i])
		if err != nil {
			d.close()
			return nil, err
		}
		d.parts = append(d.parts, p)
	}
	if len(d.parts) == 0 {
		return nil, nil
	}
	return d, nil
}

// lookup finds what shows under a name in a merged directory; ok is false if
// nothing does, and then the entry is the whiteout, if there is one.
func (v *view) lookup(d *dir, name string) (e entry, ok bool, err error) {
	if d == nil {
		return entry{}, false, nil
	}
	return v.lookupFrom(d, name, 0)
}

func (v *view) lookupFrom(d *dir, name string, from int) (e entry, ok bool, err error) {
	for i := from; i < len(d.parts); i++ {
		e := entry{name: name, layer: d.parts[i].layer, in: d.parts[i]}
		err := unix.Fstatat(e.dirfd(), name, &e.stat, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return entry{}, false, &fs.PathError{Op: "stat", Path: name, Err: err}
		}
		gone, err := v.gone(&e)
		if err == nil && !gone { // whose owner means nothing
			err = mapStat(&e.stat, v.mapOf(e.layer))
		}
		if err != nil {
			return entry{}, false, err
		}
		return e, !gone, nil
	}
	return entry{}, false, nil
}

// gone reports whether an entry is a whiteout of either form. The form without
// a device is an empty file with a mark (overlayfs.rst, "whiteouts and opaque
// directories").
func (v *view) gone(e *entry) (bool, error) {
	if isWhiteout(&e.stat) {
		return true, nil
	}
	if e.stat.Mode&unix.S_IFMT != unix.S_IFREG || e.stat.Size != 0 {
		return false, nil
	}
	_, marked, err := v.mark(e.path(), "whiteout")
	return marked, err
}

// mark reads a mark of the overlay from a file.
func (v *view) mark(path, name string) (value string, ok bool, err error) {
	text, err := getXattr(filePath(path), v.prefix+name)
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
func (v *view) redirect(path string) (target string, ok bool, err error) {
	target, ok, err = v.mark(path, "redirect")
	if err == nil && ok && !isRedirect(target) {
		err = fmt.Errorf("%w: an overlay with a redirect to %q", ErrUnsupported, target)
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

// open opens the merged directory that an entry of d is.
func (v *view) open(d *dir, e entry) (_ *dir, err error) {
	sub := &dir{plain: d.plain, without: d.without}
	defer func() {
		if err != nil {
			sub.close()
		}
	}()
	below, name := d, e.name // where the next lower part is looked for
	from := 0
	for {
		found, ok, err := v.lookupFrom(below, name, from)
		if err != nil {
			return nil, err
		}
		if !ok || !found.isDir() {
			// What hides the base, other than the base itself, makes the
			// directory a new one, marked so or not.
			if found.name != "" && found.layer < v.base {
				sub.plain = false
			}
			return sub, nil
		}
		fd, err := openDirAt(found.dirfd(), found.name)
		if err != nil {
			return nil, err
		}
		sub.parts = append(sub.parts, &part{found.layer, fd, inode.Of(&found.stat)})
		p := fmt.Sprint("/proc/self/fd/", fd, "/.") // not the link in /proc
		if opaque, _, err := v.mark(p, "opaque"); err != nil {
			return nil, err
		} else if opaque == opaqueYes {
			sub.plain = false
			return sub, nil
		}
		redirect, moved, err := v.redirect(p)
		if err != nil {
			return nil, err
		}
		if moved {
			sub.plain = false
			return sub, v.follow(sub, below, found.layer, redirect)
		}
		for from = 0; from < len(below.parts) && below.parts[from].layer <= found.layer; from++ {
		}
	}
}

// openName opens the merged directory of a name; ErrChanged if there is none.
func (v *view) openName(d *dir, name string) (*dir, error) {
	e, ok, err := v.lookup(d, name)
	if err != nil {
		return nil, err
	}
	if !ok || !e.isDir() {
		return nil, ErrChanged
	}
	return v.open(d, e)
}

// follow adds the parts of a renamed directory that lie in the layers below:
// at another name in the same directory, or at a path from the root.
func (v *view) follow(sub, parent *dir, layer int, redirect string) error {
	at, name := parent.below(layer), redirect
	if path.IsAbs(redirect) {
		var err error
		if at, err = v.descend(layer+1, parent.without, path.Dir(redirect)); err != nil {
			return err
		}
		defer at.close()
		name = path.Base(redirect)
	}
	e, ok, err := v.lookup(at, name)
	if err != nil || !ok || !e.isDir() {
		return err
	}
	lower, err := v.open(at, e)
	if err != nil {
		return err
	}
	sub.parts = append(sub.parts, lower.parts...)
	return nil
}

// descend opens a directory by its path from the root of the layers from one
// on, without another; nil if there is none.
func (v *view) descend(layer, without int, p string) (*dir, error) {
	at, err := v.root(layer, without)
	if err != nil || at == nil {
		return at, err
	}
	for _, name := range pathNames(p) {
		e, ok, err := v.lookup(at, name)
		if err != nil || !ok || !e.isDir() {
			at.close()
			return nil, err
		}
		next, err := v.open(at, e)
		at.close()
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
