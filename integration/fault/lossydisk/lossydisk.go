package lossydisk

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk is an ext4 without a journal, of 48 MiB, in a file that has not the room for
// all that is written while it is filled.
type Disk struct {
	Dir    string // where it is mounted
	filler string
}

// New mounts a disk until the test ends. The test is skipped where that cannot be.
func New(t testing.TB) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("there is no mkfs.ext4")
	}
	memory, err := os.MkdirTemp("/var/tmp", "lossy-") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fatal(t, os.Remove(memory)) })
	fatal(t, unix.Mount("tmpfs", memory, "tmpfs", 0, "size=64m"))
	t.Cleanup(func() { fatal(t, unix.Unmount(memory, 0)) })
	d := &Disk{Dir: filepath.Join(memory, "d"), filler: filepath.Join(memory, "filler")}
	fatal(t, os.Mkdir(d.Dir, 0o711))
	file := filepath.Join(memory, "disk")
	for _, argv := range [][]string{
		{"truncate", "-s", "48m", file},
		{"mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=0", file},
		{"mount", "-o", "loop,errors=continue", file, d.Dir},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
	}
	t.Cleanup(func() { fatal(t, unix.Unmount(d.Dir, 0)) })
	return d
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Fill has the disk lose what is written from now on where nothing was before, until
// Free. What was written before is safe.
func (d *Disk) Fill(t testing.TB) {
	t.Helper()
	_ = d.SyncOther()
	f, err := os.Create(d.filler)
	fatal(t, err)
	for block := make([]byte, 1<<20); len(block) >= 4096; block = block[:len(block)/2] {
		for err = nil; err == nil; {
			_, err = f.Write(block)
		}
	}
	fatal(t, f.Close())
}

// Free ends what Fill has begun.
func (d *Disk) Free(t testing.TB) {
	t.Helper()
	fatal(t, os.Remove(d.filler))
}

// SyncOther syncs the disk by a file of its own, as the rest of the machine does all
// the time. An error says that data were lost.
func (d *Disk) SyncOther() error {
	f, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// SyncOthers has SyncOther called all the time, and returns what ends that and tells
// whether data were lost.
func (d *Disk) SyncOthers() (end func() (lost bool)) {
	stop, done := make(chan struct{}), make(chan struct{})
	lost := false
	go func() {
		defer close(done)
		for {
			lost = d.SyncOther() != nil || lost
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	return sync.OnceValue(func() bool { close(stop); <-done; return lost })
}
