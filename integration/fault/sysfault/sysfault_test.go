package sysfault_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/fault/sysfault"
)

// wrap returns an injector and a way to run a program of the machine under it.
func wrap(t *testing.T, program string) (*sysfault.Injector, func(args ...string) (string, error)) {
	t.Helper()
	if err := sysfault.Available(); err != nil {
		t.Skip(err)
	}
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skip(err)
	}
	in, err := sysfault.Listen(filepath.Join(t.TempDir(), "sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	})
	bin, wrapped := t.TempDir(), t.TempDir()
	if err := os.Symlink(path, filepath.Join(bin, program)); err != nil {
		t.Fatal(err)
	}
	env, err := in.Bin(wrapped, bin, program)
	if err != nil {
		t.Fatal(err)
	}
	return in, func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(wrapped, program), args...)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}

func TestOnlyThePlannedCallFails(t *testing.T) {
	in, touch := wrap(t, "touch")
	file := filepath.Join(t.TempDir(), "file")
	var seen []string
	in.Set(func(c sysfault.Call) unix.Errno {
		if c.Path != file {
			return 0
		}
		seen = append(seen, c.Name)
		if c.Name == "openat" {
			return unix.EDQUOT
		}
		return 0
	})
	// It opens the file, which fails, then looks whether it can set its time.
	if out, err := touch(file); err == nil || !strings.Contains(out, "Disk quota exceeded") {
		t.Errorf("touch printed %q, %v", out, err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file that could not be made: %v", err)
	}
	in.Set(nil)
	if !slices.Contains(seen, "openat") {
		t.Errorf("of calls on %s it told %v", file, seen)
	}
	if out, err := touch(file); err != nil {
		t.Errorf("without a plan touch printed %q, %v", out, err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestPathsThroughDescriptorsAreTold(t *testing.T) {
	in, rm := wrap(t, "rm")
	dir := t.TempDir()
	deep := filepath.Join(dir, "tree", "sub", "file")
	if err := os.MkdirAll(filepath.Dir(deep), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(deep, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	// rm -r goes down by descriptors and removes by bare names.
	in.Set(func(c sysfault.Call) unix.Errno {
		if c.Name == "unlinkat" && c.Path == deep {
			return unix.EIO
		}
		return 0
	})
	if out, err := rm("-r", filepath.Join(dir, "tree")); err == nil || !strings.Contains(out, "Input/output error") {
		t.Errorf("rm printed %q, %v", out, err)
	}
	if _, err := os.Stat(deep); err != nil {
		t.Error(err)
	}
}

func TestProgramThatIsNotThere(t *testing.T) {
	in, err := sysfault.Listen(filepath.Join(t.TempDir(), "sock"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Bin(t.TempDir(), t.TempDir(), "nosuch"); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("got %v", err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
}

// TestUnsynced has a program sync what cannot be synced.
func TestUnsynced(t *testing.T) {
	if err := sysfault.Available(); err != nil {
		t.Skip(err)
	}
	path, err := exec.LookPath("sync")
	if err != nil {
		t.Skip(err)
	}
	bin, wrapped := t.TempDir(), t.TempDir()
	if err := os.Symlink(path, filepath.Join(bin, "sync")); err != nil {
		t.Fatal(err)
	}
	env, err := sysfault.Unsynced(wrapped, bin, "sync")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir    string
		synced bool
	}{{bin, true}, {wrapped, false}} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(c.dir, "sync"), os.DevNull)
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); c.synced != (err != nil) {
			t.Errorf("%s of %s: %v: %s", cmd.Path, os.DevNull, err, out)
		}
	}
	if _, err := sysfault.Unsynced(t.TempDir(), bin, "nosuch"); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("got %v", err)
	}
}
