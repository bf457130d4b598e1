package apply

import (
	"archive/tar"
	"crypto/rand"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
)

// aufsLinks is the folder in which aufs kept the files of several names. In layers
// that were made on aufs the files are there, and their names in the image are hard
// links into it.
const aufsLinks = diff.WhiteoutPrefix + diff.WhiteoutPrefix + "plnk"

// isAufs reports whether a name is one of aufs' own: .wh..wh.aufs, .wh..wh.plnk,
// .wh..wh.orph, and what is in the latter two. Old images have them.
func isAufs(name string) bool {
	if !strings.Contains(name, diff.WhiteoutPrefix+diff.WhiteoutPrefix) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, diff.WhiteoutPrefix+diff.WhiteoutPrefix) && part != diff.OpaqueMarker {
			return true
		}
	}
	return false
}

// aufs takes an entry that aufs kept for itself. Only files that names of the image
// may be linked to are of any use. They are held in a folder of another name until
// the end of the layer.
func (a *applier) aufs(name string, hdr *tar.Header, content io.Reader) error {
	dir, base := path.Split(name)
	if dir != aufsLinks+"/" || base == diff.OpaqueMarker || diff.IsReserved(base) || !isRegular(hdr) {
		log.G(a.ctx).WithField("name", hdr.Name).Debug("left out an entry that aufs kept for itself")
		return nil
	}
	// The root's times are as they were, in the end.
	root, err := a.parent("")
	if err != nil {
		return err
	}
	if a.held == "" {
		held := aufsLinks + "-" + rand.Text()
		if err := unix.Mkdirat(root.fd, held, 0o700); err != nil {
			return fmt.Errorf("make a folder for files of aufs: %w", err)
		}
		a.held = held
	}
	at, err := a.heldFolder()
	if err != nil {
		return err
	}
	defer unix.Close(at.fd)
	if err := a.create(at, base, hdr, content); err != nil {
		return err
	}
	return a.place(at.join(base)) // or a root that is opaque would have it removed
}

func isRegular(hdr *tar.Header) bool {
	return hdr.Typeflag == tar.TypeReg || hdr.Typeflag == tar.TypeCont || hdr.Typeflag == tar.TypeGNUSparse
}

// heldFolder opens the folder of the files that aufs kept.
func (a *applier) heldFolder() (folder, error) {
	fd, err := openBeneath(a.root, a.held)
	if err != nil {
		return folder{}, fmt.Errorf("open the folder for files of aufs: %w", err)
	}
	return folder{fd: fd, path: a.held}, nil
}

// dropHeld removes that folder: what the image has of the files has other names.
func (a *applier) dropHeld() error {
	if a.held == "" {
		return nil
	}
	root, err := a.parent("")
	if err != nil {
		return err
	}
	return a.remove(root, a.held)
}
