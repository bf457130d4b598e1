package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fstool:", err)
		os.Exit(1)
	}
}

// verbs have their number of arguments before the files.
var verbs = map[string]struct {
	args int
	do   func(args []string, file string) error
}{
	"setxattr":    {2, setXattr},
	"removexattr": {1, func(args []string, file string) error { return unix.Lremovexattr(file, args[0]) }},
	"mtime":       {1, mtime},
	"open":        {0, func(_ []string, file string) error { return withFile(file, func(*os.File) error { return nil }) }},
	"pwrite":      {2, pwrite},
	"socket":      {0, socket},
	"connect":     {0, connect},
	"deep":        {2, deep},
	"list":        {0, list},
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("want a verb")
	}
	verb, ok := verbs[args[0]]
	if !ok || len(args) < verb.args+2 {
		return fmt.Errorf("%q: no such verb, or too few arguments", args)
	}
	for _, file := range args[verb.args+1:] {
		if err := verb.do(args[1:verb.args+1], file); err != nil {
			return fmt.Errorf("%s %s: %w", args[0], file, err)
		}
	}
	return nil
}

func setXattr(args []string, file string) error {
	value, err := strconv.Unquote(`"` + args[1] + `"`)
	if err != nil {
		return err
	}
	return unix.Lsetxattr(file, args[0], []byte(value), 0)
}

func mtime(args []string, file string) error {
	whole, fraction, _ := strings.Cut(args[0], ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return err
	}
	ts := unix.Timespec{Sec: sec}
	if fraction != "" {
		if ts.Nsec, err = strconv.ParseInt(fraction, 10, 64); err != nil {
			return err
		}
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, file, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

func withFile(file string, f func(*os.File) error) error {
	opened, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer opened.Close()
	return f(opened)
}

func pwrite(args []string, file string) error {
	offset, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	return withFile(file, func(f *os.File) error {
		_, err := f.WriteAt([]byte(args[1]), offset)
		return err
	})
}

func socket(_ []string, file string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrUnix{Name: file})
}

func connect(_ []string, file string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: file}); err != nil {
		return err
	}
	return unix.Pause() // until it is killed
}

func deep(args []string, folder string) error {
	levels, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if err := os.Chdir(folder); err != nil {
		return err
	}
	for range levels {
		if err := os.Mkdir(args[1], 0o755); err != nil {
			return err
		}
		if err := os.Chdir(args[1]); err != nil {
			return err
		}
	}
	return nil
}
