package fidelity

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/idmap"
)

// layer looks at the tar of the new layer.
func (k *check) layer(ctx context.Context, file string, diffID digest.Digest) error {
	opened, err := os.Open(file)
	if err != nil {
		return err
	}
	defer opened.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, opened); err != nil {
		return err
	}
	var errs []error
	if got := digest.NewDigest(digest.SHA256, sum); got != diffID {
		errs = append(errs, fmt.Errorf("the layer is %s and the config says %s", got, diffID))
	}
	if out, err := exec.CommandContext(ctx, "tar", "--list", "--verbose", "--file", file).Output(); err != nil || len(out) == 0 {
		errs = append(errs, fmt.Errorf("GNU tar on the layer: %w", err))
	}
	if complaint := complaints(ctx, file); complaint != "" {
		errs = append(errs, fmt.Errorf("GNU tar complains about the layer: %s", complaint))
	}
	if _, err := opened.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return errors.Join(append(errs, k.entries(opened))...)
}

// complaints is what GNU tar says of a tar to stderr.
func complaints(ctx context.Context, file string) string {
	cmd := exec.CommandContext(ctx, "tar", "--list", "--file", file)
	var text strings.Builder
	cmd.Stderr = &text
	_ = cmd.Run() // its status has been looked at
	return strings.TrimSpace(text.String())
}

// entries compares each entry with the container's file.
func (k *check) entries(file io.Reader) error {
	var errs []error
	seen := map[string]bool{}
	for r := tar.NewReader(file); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return errors.Join(errs...)
		}
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("read the layer: %w", err))...)
		}
		name := path.Join("/", h.Name)
		if seen[name] {
			errs = append(errs, fmt.Errorf("the layer has %q twice", name))
		}
		seen[name] = true
		if err := k.entry(name, h); err != nil {
			errs = append(errs, fmt.Errorf("the layer's entry %q: %w", h.Name, err))
		}
	}
}

func (k *check) entry(name string, h *tar.Header) error {
	if k.container == "" || k.ignore(name) || underRuntime(name) {
		return nil
	}
	var st unix.Stat_t
	dir, base := path.Split(name)
	if gone, ok := strings.CutPrefix(base, ".wh."); ok {
		if base == ".wh..wh..opq" {
			return lstat(k.at(dir), &st)
		}
		err := lstat(k.at(path.Join(dir, gone)), &st)
		if err == nil && st.Mode&unix.S_IFMT != unix.S_IFSOCK {
			return errors.New("the container has the file that it deletes")
		}
		return nil
	}
	if err := lstat(k.at(name), &st); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		var target unix.Stat_t
		if err := lstat(k.at(h.Linkname), &target); err != nil {
			return err
		}
		if (st.Ino != target.Ino || st.Dev != target.Dev) && !k.showsNoLink(name) {
			return fmt.Errorf("it is no hard link to %q", h.Linkname)
		}
	}
	var err error
	if st.Uid, st.Gid, err = idmap.Func(k.mode.IDs.ToContainer).Pair(st.Uid, st.Gid); err != nil {
		return err
	}
	return sameHeader(h, &st, name)
}

func lstat(path string, st *unix.Stat_t) error {
	if err := unix.Lstat(path, st); err != nil {
		return fmt.Errorf("the container has no such file: %w", err)
	}
	return nil
}

// sameHeader compares what a header says with what the container has.
func sameHeader(h *tar.Header, st *unix.Stat_t, name string) error {
	var errs []error
	differ := func(what string, tar, container any) {
		if tar != container {
			errs = append(errs, fmt.Errorf("%s %v, in the container %v", what, tar, container))
		}
	}
	kind := st.Mode & unix.S_IFMT
	if h.Typeflag != tar.TypeLink {
		differ("type", string(h.Typeflag), string(typeflags[kind]))
	}
	if kind != unix.S_IFLNK {
		differ("mode", fmt.Sprintf("%04o", h.Mode&0o7777), fmt.Sprintf("%04o", st.Mode&0o7777))
	}
	differ("uid", int64(h.Uid), int64(st.Uid))
	differ("gid", int64(h.Gid), int64(st.Gid))
	if name != "/" && name != "/etc" && name != "/dev" {
		differ("mtime", h.ModTime.Unix(), st.Mtim.Sec)
	}
	switch kind {
	case unix.S_IFREG:
		if h.Typeflag != tar.TypeLink {
			differ("size", h.Size, st.Size)
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		if h.Typeflag != tar.TypeLink {
			differ("device", fmt.Sprint(h.Devmajor, ":", h.Devminor), fmt.Sprint(unix.Major(st.Rdev), ":", unix.Minor(st.Rdev)))
		}
	}
	return errors.Join(errs...)
}

var typeflags = map[uint32]byte{
	unix.S_IFREG: tar.TypeReg, unix.S_IFDIR: tar.TypeDir, unix.S_IFLNK: tar.TypeSymlink,
	unix.S_IFCHR: tar.TypeChar, unix.S_IFBLK: tar.TypeBlock, unix.S_IFIFO: tar.TypeFifo,
}

func underRuntime(name string) bool {
	for _, dir := range runtimeFiles {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}
