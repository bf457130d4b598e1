package main

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/dump"
)

// list prints a line for each file below folder, and one for the folder, in the
// order of their names: all that an image promises to keep of it.
func list(_ []string, folder string) error {
	return dump.Files(folder, func(f dump.File) error {
		_, err := fmt.Println(describe(f))
		return err
	})
}

func describe(f dump.File) string {
	line := fmt.Sprintf("%q %06o %d:%d %d", f.Path, f.Stat.Mode, f.Stat.Uid, f.Stat.Gid, f.Stat.Mtim.Sec)
	if f.First != "" {
		line += fmt.Sprintf(" is %q", f.First)
	}
	content := f.Content
	switch f.Stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		content = fmt.Sprintf("%d %s", f.Stat.Size, content)
	case unix.S_IFLNK:
		content = fmt.Sprintf("-> %q", content)
	}
	return strings.TrimRight(line+" "+content+" "+f.AttributesText(), " ")
}
