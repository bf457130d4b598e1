package snapshotter_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSealLiveCopiesWhatIsMapped: a store to a page that is dirty already moves no ctime.
// The writer has closed the file, and keeps the mapping.
func TestSealLiveCopiesWhatIsMapped(t *testing.T) {
	needRoot(t)
	l := newLive(t, tempDir(t), "", imageLayers(t))
	path := filepath.Join(l.merged, "mapped")
	check(t, os.WriteFile(path, bytes.Repeat([]byte("."), 8192), 0o644))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	page, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	defer func() { check(t, unix.Munmap(page)) }()
	check(t, f.Close())
	page[0] = 'a'
	age()
	l.seal(t)
	l.same(t)
	var before, after unix.Stat_t
	check(t, unix.Stat(path, &before))
	for i := range 3 {
		page[0] = byte('b' + i)
		check(t, unix.Stat(path, &after))
		if before.Ctim != after.Ctim {
			t.Log("the page was written to disk meanwhile, and the store has moved ctime: this shows nothing")
		}
		stats := l.seal(t)
		l.same(t)
		if stats.Bytes != 8192 {
			t.Errorf("seal %d of a file that is mapped for writing: %+v", i, stats)
		}
	}
}

// TestSealLiveCopiesWhatIsOpen: a file that somebody can write to is copied each time, and
// no more once it is closed.
func TestSealLiveCopiesWhatIsOpen(t *testing.T) {
	needRoot(t)
	l := newLive(t, tempDir(t), "", imageLayers(t))
	check(t, os.WriteFile(filepath.Join(l.merged, "open"), []byte("open"), 0o644))
	check(t, os.WriteFile(filepath.Join(l.merged, "shut"), []byte("shut"), 0o644))
	f, err := os.OpenFile(filepath.Join(l.merged, "open"), os.O_WRONLY, 0)
	check(t, err)
	defer f.Close()
	age()
	for range 3 {
		l.seal(t)
		if stats := l.seal(t); stats.Kept != 1 || stats.KeptBytes != 4 || stats.Bytes != 4 {
			t.Errorf("with a file that is open: %+v", stats)
		}
	}
	check(t, f.Close())
	l.seal(t)
	if stats := l.seal(t); stats.Kept != 2 || stats.Bytes != 0 {
		t.Errorf("with no file that is open: %+v", stats)
	}
	l.same(t)
}

// TestSealLiveCopiesWhatIsYoung: what changes within the same step of the clock keeps its
// ctime, so a file that changed just before a seal is copied by the next one, too.
func TestSealLiveCopiesWhatIsYoung(t *testing.T) {
	needRoot(t)
	l := newLive(t, tempDir(t), "", imageLayers(t))
	path := filepath.Join(l.merged, "young")
	for range 100 {
		began := time.Now()
		check(t, os.WriteFile(path, []byte("young"), 0o644))
		l.seal(t)
		if time.Since(began) > 8*time.Millisecond {
			continue // the machine has much to do
		}
		if stats := l.seal(t); stats.Bytes != 5 || stats.Kept != 0 {
			t.Errorf("a file that changed less than 10 ms before the last seal: %+v", stats)
		}
		age()
		l.seal(t)
		if stats := l.seal(t); stats.Bytes != 0 || stats.Kept != 1 {
			t.Errorf("a file that changed more than 10 ms before the last seal: %+v", stats)
		}
		return
	}
	t.Fatal("no seal came within 8 ms of a change, in a hundred tries")
}

// ext4 is a file system whose inodes can be edited while it is not mounted.
type ext4 struct{ device, dir string }

// newExt4 skips the test where loop devices, mkfs.ext4 or debugfs are missing.
func newExt4(t *testing.T, flags ...string) *ext4 {
	t.Helper()
	needRoot(t)
	for _, program := range []string{"mkfs.ext4", "debugfs", "losetup"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("there is no %s", program)
		}
	}
	dir := tempDir(t)
	image := filepath.Join(dir, "image")
	check(t, os.WriteFile(image, nil, 0o600))
	check(t, os.Truncate(image, 32<<20))
	command(t, "mkfs.ext4", append(flags, "-q", "-F", image)...)
	device, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device: %v: %s", err, device)
	}
	fs := &ext4{device: strings.TrimSpace(string(device)), dir: makeDirs(t, dir, "disk", 0)}
	t.Cleanup(func() { command(t, "losetup", "--detach", fs.device) })
	fs.mount(t)
	t.Cleanup(func() { check(t, unix.Unmount(fs.dir, 0)) })
	return fs
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

func (fs *ext4) mount(t *testing.T) {
	t.Helper()
	check(t, unix.Mount(fs.device, fs.dir, "ext4", 0, ""))
}

// setCtime gives a file of an upper another ctime, as if it had been changed at that time.
func (fs *ext4) setCtime(t *testing.T, l *live, name string, to unix.Timespec) {
	t.Helper()
	var st unix.Stat_t
	check(t, unix.Stat(filepath.Join(l.upper, name), &st))
	unmount(t, l.merged)
	for try := 0; ; try++ {
		err := unix.Unmount(fs.dir, 0)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EBUSY) || try == 200 {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // the overlay lets go of it
	}
	field := func(name, value string) {
		command(t, "debugfs", "-w", "-R", fmt.Sprintf("set_inode_field <%d> %s %s", st.Ino, name, value), fs.device)
	}
	field("ctime", fmt.Sprint("@", to.Sec))
	field("ctime_extra", fmt.Sprint(to.Nsec<<2)) // the low bits continue the seconds
	fs.mount(t)
	mountOverlay(t, l.merged, l.options, l.upper, makeDirs(t, l.dir, "work", 0), l.lowers)
	check(t, unix.Stat(filepath.Join(l.upper, name), &st))
	if st.Ctim != to {
		t.Fatalf("the ctime is %v, and was to be %v", st.Ctim, to)
	}
}

// TestSealLiveKnowsAnInodeUsedAgain: a new file has the inode, the size and, of a clock
// that has been set back, the ctime of one that was sealed. What it does not have is the
// time when that was made.
func TestSealLiveKnowsAnInodeUsedAgain(t *testing.T) {
	fs := newExt4(t)
	l := newLive(t, fs.dir, "", []string{makeDirs(t, fs.dir, "lower", 0)})
	path := filepath.Join(l.merged, "f")
	var was, is unix.Stat_t
	check(t, os.WriteFile(path, []byte("old"), 0o644))
	check(t, unix.Stat(filepath.Join(l.upper, "f"), &was))
	age()
	l.seal(t)
	check(t, os.Remove(path))
	for i := 0; is.Ino != was.Ino; i++ { // the file system gives it out soon
		if i == 100 {
			t.Fatal("the inode is not used again")
		}
		check(t, os.WriteFile(path, []byte("new"), 0o644))
		check(t, unix.Stat(filepath.Join(l.upper, "f"), &is))
		if is.Ino != was.Ino {
			check(t, os.Rename(path, fmt.Sprint(path, i)))
		}
	}
	fs.setCtime(t, l, "f", was.Ctim)
	l.seal(t)
	l.same(t)
}

// TestSealLiveDoesNotTrustTheFuture: a file was changed before the clock was set back.
// When the same time comes again, so can the ctime.
func TestSealLiveDoesNotTrustTheFuture(t *testing.T) {
	fs := newExt4(t)
	l := newLive(t, fs.dir, "", []string{makeDirs(t, fs.dir, "lower", 0)})
	path := filepath.Join(l.merged, "f")
	check(t, os.WriteFile(path, []byte("before"), 0o644))
	ahead := unix.Timespec{Sec: time.Now().Unix() + 3600, Nsec: 123456788}
	fs.setCtime(t, l, "f", ahead)
	l.seal(t)
	check(t, os.WriteFile(path, []byte("behind"), 0o644))
	fs.setCtime(t, l, "f", ahead)
	if stats := l.seal(t); stats.Bytes != int64(len("behind")) {
		t.Errorf("a file with a ctime in the future: %+v", stats)
	}
	l.same(t)
}

// TestSealLiveComparesForEquality: with the clock set back, what is changed later has an
// earlier ctime.
func TestSealLiveComparesForEquality(t *testing.T) {
	fs := newExt4(t)
	l := newLive(t, fs.dir, "", []string{makeDirs(t, fs.dir, "lower", 0)})
	path := filepath.Join(l.merged, "f")
	check(t, os.WriteFile(path, []byte("before"), 0o644))
	age()
	l.seal(t)
	check(t, os.WriteFile(path, []byte("behind"), 0o644))
	fs.setCtime(t, l, "f", unix.Timespec{Sec: time.Now().Unix() - 3600, Nsec: 123456788})
	l.seal(t)
	l.same(t)
}

// TestSealLiveOnWholeSeconds: a file system that keeps whole seconds, and not when a file
// was made, has nothing to trust.
func TestSealLiveOnWholeSeconds(t *testing.T) {
	fs := newExt4(t, "-I", "128")
	l := newLive(t, fs.dir, "", []string{makeDirs(t, fs.dir, "lower", 0)})
	check(t, os.WriteFile(filepath.Join(l.merged, "f"), []byte("1"), 0o644))
	time.Sleep(1100 * time.Millisecond)
	l.seal(t)
	check(t, os.WriteFile(filepath.Join(l.merged, "f"), []byte("2"), 0o644))
	l.seal(t)
	l.same(t)
	if stats := l.seal(t); stats.Kept != 0 || stats.Bytes != 1 {
		t.Errorf("without the time when a file was made: %+v", stats)
	}
}

// TestSealLiveTakesWholeSecondsForAStep: a ctime without a fraction may be all that a file
// system keeps. Then a change within the same second has it, too.
func TestSealLiveTakesWholeSecondsForAStep(t *testing.T) {
	fs := newExt4(t)
	l := newLive(t, fs.dir, "", []string{makeDirs(t, fs.dir, "lower", 0)})
	path := filepath.Join(l.merged, "f")
	check(t, os.WriteFile(path, []byte("before"), 0o644))
	second := unix.Timespec{Sec: time.Now().Unix()}
	fs.setCtime(t, l, "f", second)
	time.Sleep(time.Until(time.Unix(second.Sec, 0).Add(time.Second)))
	l.seal(t)
	check(t, os.WriteFile(path, []byte("behind"), 0o644))
	fs.setCtime(t, l, "f", second)
	l.seal(t)
	l.same(t)
}
