package criu_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/imageservice/criu"
)

// TestRestoreErrors: the end of CRIU's log is read, as much as a person reads, and what a
// terminal would obey is escaped.
func TestRestoreErrors(t *testing.T) {
	const line = "(00.1) Error (criu/files-reg.c:2310): Can't open file "
	for name, test := range map[string]struct{ log, want string }{
		"errors":   {"(0.0) one\n" + line + "data/x\n(0.2) two\n" + line + "y\n", ": Can't open file data/x; Can't open file y"},
		"none":     {"(0.0) fine\n", ""},
		"empty":    {"", ""},
		"hostile":  {line + "\x1b[2J\u202e\n", `: Can't open file \x1b[2J\u202e`},
		"long":     {line + strings.Repeat("z", 4000) + "\n", ": Can't open file " + strings.Repeat("z", 284) + "…"},
		"a lot":    {strings.Repeat("x", 3<<20) + "\n" + line + "data/x\n", ": Can't open file data/x"},
		"too many": {strings.Repeat(line+"a\n", 9), ": " + strings.Repeat("Can't open file a; ", 3) + "Can't open file a"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "restore.log"), []byte(test.log), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := criu.RestoreErrors(dir); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	other := t.TempDir()
	if got := criu.RestoreErrors(other); got != "" {
		t.Errorf("without a log: %q", got)
	}
	if err := unix.Mkfifo(filepath.Join(other, "restore.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := criu.RestoreErrors(other); got != "" {
		t.Errorf("of a pipe: %q", got)
	}
}
