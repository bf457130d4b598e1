package criu

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/compat/printable"
)

// restoreLog is the file that runc has CRIU log a restore to.
const restoreLog = "restore.log"

var logPath = regexp.MustCompile(`path= ?(/\S+\.log)`)

// LogOf returns the errors in the CRIU log that an error of containerd's names, after
// a colon; "" if the error names none, or if the log cannot be read.
func LogOf(err error) string {
	found := logPath.FindStringSubmatch(err.Error())
	if found == nil {
		return ""
	}
	return errorsIn(found[1])
}

// RestoreErrors returns the errors in the log of a restore that CRIU had this folder for,
// after a colon; "" if it has logged none.
func RestoreErrors(dir string) string { return errorsIn(filepath.Join(dir, restoreLog)) }

func errorsIn(path string) string {
	text, err := tail(path)
	if err != nil {
		return ""
	}
	if found := errorLines(text); found != "" {
		return ": " + found
	}
	return ""
}

// longestLog is how much of the end of a log is read, in bytes.
const longestLog = 1 << 20

// tail reads the end of a regular file.
func tail(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", &os.PathError{Op: "read", Path: path, Err: unix.EINVAL}
	}
	text, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-longestLog), longestLog))
	return string(text), err
}

// longestLine is how many bytes of one error are shown: it can name a path of a container.
const longestLine = 300

// errorLines returns the first errors in what CRIU has printed, as a terminal can show
// them.
func errorLines(text string) string {
	const most = 4
	var found []string
	for line := range strings.Lines(text) {
		if _, what, ok := strings.Cut(line, "Error ("); ok && len(found) < most {
			_, what, _ = strings.Cut(what, "): ")
			what = strings.TrimSpace(what)
			if len(what) > longestLine {
				what = strings.ToValidUTF8(what[:longestLine], "") + "…"
			}
			found = append(found, printable.Text(what))
		}
	}
	return strings.Join(found, "; ")
}
