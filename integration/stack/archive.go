package stack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// The archives are tar files of the folders data and containerd, packed with
// zstd. tar does what archive/tar leaves to its caller: device nodes, extended
// attributes, hard links and holes.
var (
	tarAll    = []string{"--xattrs", "--xattrs-include=*", "--numeric-owner", "--sparse"}
	tarCreate = append([]string{"--create", "--format=posix", "--sort=name", "--pax-option=delete=atime,delete=ctime"}, tarAll...)
	tarUnpack = append([]string{"--extract", "--preserve-permissions", "--same-owner"}, tarAll...)
)

// packWindow is how far back equal bytes are found: the files of an image lie in
// an archive once for each snapshotter, and its layer besides.
const packWindow = 32 << 20

// Pack writes the data of a kept root, in which no stack is running any more, into
// a new archive for [Config.From]. Sockets, logs of the daemons and their
// configuration are not in it.
func Pack(root, path string) error {
	lock, err := lockRoot(root)
	if err != nil {
		return fmt.Errorf("pack data of stack %s: %w", root, err)
	}
	defer lock.Close()
	if err := layout(root).pack(path); err != nil {
		return fmt.Errorf("pack data of stack %s: %w", root, err)
	}
	return nil
}

func (l layout) pack(path string) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	defer func() {
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	packed, err := zstd.NewWriter(file, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(packWindow))
	if err != nil {
		return err
	}
	folders := []string{filepath.Base(l.dataRoot()), filepath.Base(l.containerdRoot())}
	cmd := exec.Command("tar", append(append(tarCreate, "--directory", string(l)), folders...)...)
	cmd.Stdout = packed
	return errors.Join(runTar(cmd), packed.Close(), file.Close())
}

// unpack puts the data of an archive into the root.
func (l layout) unpack(archive string) error {
	file, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("unpack data: %w", err)
	}
	defer file.Close()
	unpacked, err := zstd.NewReader(file)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", archive, err)
	}
	defer unpacked.Close()
	cmd := exec.Command("tar", append(tarUnpack, "--directory", string(l))...)
	cmd.Stdin = io.Reader(unpacked)
	if err := runTar(cmd); err != nil {
		return fmt.Errorf("unpack %s: %w", archive, err)
	}
	return nil
}

func runTar(cmd *exec.Cmd) error {
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("tar: %w: %s", err, strings.TrimSpace(said.String()))
	}
	return nil
}
