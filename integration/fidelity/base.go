package fidelity

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// The base image is busybox, fstool, and below /img what the cases work on, in
// two more layers so that there is something to merge and to hide.

// baseTime is when everything in the base image was last written. Some builders
// keep nanoseconds; the walking differ takes a time with them for proof.
var (
	baseTime = time.Unix(1_600_000_000, 0)
	nanoTime = time.Unix(1_600_000_000, 123_456_789)
)

// capability lets a program have CAP_NET_RAW: revision 2, effective, permitted.
const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// acl gives user 7 the right to read: version 2, then entries of tag, rights
// and id (linux/posix_acl_xattr.h).
const acl = "\x02\x00\x00\x00" +
	"\x01\x00\x06\x00\xff\xff\xff\xff" + // owner rw-
	"\x02\x00\x04\x00\x07\x00\x00\x00" + // user 7 r--
	"\x04\x00\x04\x00\xff\xff\xff\xff" + // group r--
	"\x10\x00\x04\x00\xff\xff\xff\xff" + // mask r--
	"\x20\x00\x00\x00\xff\xff\xff\xff" // others ---

// layer builds one layer's tar. The first error sticks.
type layer struct {
	buf bytes.Buffer
	out *tar.Writer
	err error
}

func newLayer() *layer {
	l := &layer{}
	l.out = tar.NewWriter(&l.buf)
	return l
}

func (l *layer) bytes() ([]byte, error) {
	if l.err == nil {
		l.err = l.out.Close()
	}
	return l.buf.Bytes(), l.err
}

func (l *layer) add(h tar.Header, content string) *layer {
	if h.ModTime.IsZero() {
		h.ModTime = baseTime
	}
	h.Format, h.Size = tar.FormatPAX, int64(len(content))
	if l.err == nil {
		l.err = l.out.WriteHeader(&h)
	}
	if l.err == nil {
		_, l.err = io.WriteString(l.out, content)
	}
	return l
}

func (l *layer) dirs(mode int64, names ...string) *layer {
	for _, name := range names {
		l.add(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, "")
	}
	return l
}

// files gets pairs of a name and a content.
func (l *layer) files(mode int64, pairs ...string) *layer {
	for i := 0; i+1 < len(pairs); i += 2 {
		l.add(tar.Header{Typeflag: tar.TypeReg, Name: pairs[i], Mode: mode}, pairs[i+1])
	}
	return l
}

func (l *layer) tagged(mode int64, name, content, xattr, value string) *layer {
	return l.add(tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: mode,
		PAXRecords: map[string]string{"SCHILY.xattr." + xattr: value},
	}, content)
}

// links gets pairs of a name and a target.
func (l *layer) links(kind byte, pairs ...string) *layer {
	for i := 0; i+1 < len(pairs); i += 2 {
		l.add(tar.Header{Typeflag: kind, Name: pairs[i], Linkname: pairs[i+1], Mode: 0o777}, "")
	}
	return l
}

// gone deletes files of the layers below.
func (l *layer) gone(dir string, names ...string) *layer {
	for _, name := range names {
		l.files(0, dir+"/.wh."+name, "")
	}
	return l
}

func toolLayer(fstool []byte) *layer {
	return newLayer().dirs(0o755, "bin").files(0o755, "bin/fstool", string(fstool))
}

// firstLayer has a file whose owner is a large number, foreign.
func firstLayer(foreign int) *layer {
	l := newLayer().dirs(0o755, "etc").
		// Where the runtime puts files of its own, the image has some too.
		files(0o644, "etc/hosts", "127.0.0.1 image\n", "etc/hostname", "image\n", "etc/resolv.conf", "# image\n").
		dirs(0o755, "img", "img/dir", "img/dir/sub", "img/dir/sub/deep", "img/full", "img/empty", "img/hidden", "img/hard", "img/moved").
		dirs(0o1777, "img/sticky").dirs(0o2755, "img/setgid-dir").
		files(0o644, "img/file", "file\n", "img/other", "other\n", "img/twin-a", "aaaa\n", "img/twin-b", "bbbb\n",
			"img/dir/a", "a\n", "img/dir/b", "b\n", "img/dir/sub/c", "c\n", "img/dir/sub/deep/d", "d\n",
			"img/hidden/old", "old\n", "img/gone", "gone\n", "img/turned", "a file at first\n",
			"img/hard/x", "hard\n", "img/moved/one", "one\n", "img/moved/two", "two\n",
			"img/big", strings.Repeat("0123456789abcdef", 200_000)).
		files(0o4755, "img/setuid", "setuid\n").files(0o2755, "img/setgid", "setgid\n").
		tagged(0o644, "img/tagged", "tagged\n", "user.tag", "base").
		tagged(0o755, "img/capable", "capable\n", "security.capability", capability).
		tagged(0o640, "img/acl", "acl\n", "system.posix_acl_access", acl).
		links(tar.TypeSymlink, "img/link", "file", "img/dangling", "/nowhere", "img/dirlink", "dir", "img/dir/up", "../file").
		links(tar.TypeLink, "img/hard/y", "img/hard/x", "img/hard/z", "img/hard/x", "img/linked", "img/hard/x").
		add(tar.Header{Typeflag: tar.TypeFifo, Name: "img/fifo", Mode: 0o600}, "").
		add(tar.Header{Typeflag: tar.TypeChar, Name: "img/null", Mode: 0o666, Devmajor: 1, Devminor: 3}, "").
		add(tar.Header{Typeflag: tar.TypeReg, Name: "img/nano-a", Mode: 0o644, ModTime: nanoTime}, "aaaa\n").
		add(tar.Header{Typeflag: tar.TypeReg, Name: "img/nano-b", Mode: 0o644, ModTime: nanoTime}, "bbbb\n").
		add(tar.Header{Typeflag: tar.TypeReg, Name: "img/foreign", Mode: 0o600, Uid: foreign, Gid: foreign + 1}, "foreign\n")
	for i := range 50 {
		l.files(0o644, fmt.Sprintf("img/full/%02d", i), fmt.Sprintln(i))
	}
	return l
}

// secondLayer changes the first. A mode whose overlay cannot read the marks of
// containerd's applier does without an opaque directory.
func secondLayer(opaque bool) *layer {
	l := newLayer().dirs(0o755, "img", "img/dir", "img/dir/sub", "img/full", "img/hidden").
		files(0o644, "img/dir/second", "second\n", "img/dir/sub/second", "second\n", "img/full/07", "seven\n").
		gone("img", "gone").gone("img/full", "08", "09").
		dirs(0o755, "img/turned").files(0o644, "img/turned/inside", "a directory now\n")
	if opaque {
		return l.files(0, "img/hidden/.wh..wh..opq", "").files(0o644, "img/hidden/new", "new\n")
	}
	return l.gone("img/hidden", "old").files(0o644, "img/hidden/new", "new\n")
}

// fillerLayer is the nth of many layers that make an image deep.
func fillerLayer(n int) *layer {
	return newLayer().dirs(0o755, "img", "img/many").
		files(0o644, fmt.Sprintf("img/many/%03d", n), fmt.Sprintln(n), "img/many/newest", fmt.Sprintln(n))
}
