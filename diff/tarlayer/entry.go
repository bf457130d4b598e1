package tarlayer

import (
	"archive/tar"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/xattr"
)

// attributes are what a file has besides its stat.
type attributes struct {
	records  map[string]string // PAX records of what a layer carries
	opaque   string            // of overlay.opaque, a directory's
	whiteout bool              // has overlay.whiteout
}

// attributes reads the extended attributes of an entry. Most files have none,
// so listing them comes first.
func (t *layerTar) attributes(s *source) (attributes, error) {
	var a attributes
	f := s.file()
	names, err := xattr.List(f)
	if err != nil {
		return a, fmt.Errorf("%q: %w", s.path, err)
	}
	for _, name := range names {
		if mark, ok := strings.CutPrefix(name, t.marks); ok {
			if err := t.readMark(s, mark, &a); err != nil {
				return a, err
			}
		}
	}
	if !slices.ContainsFunc(names, xattr.Carried) {
		return a, nil
	}
	carried, err := xattr.CarriedOf(f, names)
	if err != nil {
		return a, fmt.Errorf("%q: %w", s.path, err)
	}
	a.records, err = t.records(s.path, carried)
	return a, err
}

// records turns the attributes that a layer carries into PAX records.
func (t *layerTar) records(path string, carried []xattr.Attr) (map[string]string, error) {
	if len(carried) == 0 {
		return nil, nil
	}
	records := make(map[string]string, len(carried))
	for _, x := range carried {
		value, err := xattr.MapACL(x, t.opts.MapIDs)
		if err != nil {
			return nil, fmt.Errorf("%q: map ids of %s: %w", path, x.Name, err)
		}
		records[diff.PAXXattr+x.Name] = string(value)
	}
	return records, nil
}

func (t *layerTar) readMark(s *source, mark string, a *attributes) error {
	switch mark {
	case "opaque":
		value, err := xattr.Get(s.file(), t.marks+mark)
		if err != nil {
			return fmt.Errorf("%q: read %s: %w", s.path, mark, err)
		}
		a.opaque = string(value)
	case "whiteout":
		a.whiteout = true
	case "metacopy", "redirect":
		return fmt.Errorf("%q has the mark overlay.%s, which is only half there: the tree is not sealed: %w", s.path, mark, diff.ErrUnsupported)
	}
	return nil
}

// header writes the header of an entry; hdr has what depends on its type.
func (t *layerTar) header(s *source, attrs attributes, hdr tar.Header) error {
	uid, gid, err := t.opts.MapIDs.Pair(s.st.Uid, s.st.Gid)
	if err != nil {
		return fmt.Errorf("map owner of %q: %w", s.path, err)
	}
	if hdr.Name == "" {
		hdr.Name = s.path
	}
	hdr.Format = tar.FormatPAX
	hdr.Mode = int64(s.st.Mode & 0o7777)
	hdr.Uid, hdr.Gid = int(uid), int(gid)
	// The seconds of a timespec are rounded down, before 1970 too.
	hdr.ModTime = time.Unix(s.st.Mtim.Sec, 0)
	if t.opts.Latest != nil && hdr.ModTime.After(*t.opts.Latest) {
		hdr.ModTime = t.opts.Latest.Truncate(time.Second)
	}
	hdr.PAXRecords = attrs.records
	return t.write(&hdr)
}

// whiteout writes that a name is gone.
func (t *layerTar) whiteout(s *source) error {
	dir, name := path.Split(s.path)
	return t.mark(dir + diff.WhiteoutPrefix + name)
}

// mark writes an empty file that stands for something else. It has no owner
// and no time, so that the same deletion gives the same bytes.
func (t *layerTar) mark(name string) error {
	return t.write(&tar.Header{Format: tar.FormatPAX, Typeflag: tar.TypeReg, Name: name, ModTime: time.Unix(0, 0)})
}

func (t *layerTar) write(hdr *tar.Header) error {
	if name := strings.TrimSuffix(hdr.Name, "/"); len(name) >= diff.MaxPath {
		return diff.TooLong(name, len(name))
	}
	if err := errors.Join(t.opts.Limit.CheckFile(t.out.n, hdr.Size), t.opts.Limit.CheckEntries(t.entries+1)); err != nil {
		return fmt.Errorf("%q: %w", hdr.Name, err)
	}
	if err := t.tw.WriteHeader(hdr); err != nil {
		return fmt.Errorf("write header of %q: %w", hdr.Name, err)
	}
	t.entries++
	return nil
}
