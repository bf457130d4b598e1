package fidelity

// What is written into files.
var contentCases = []Case{
	{Name: "files and directories made", Script: `echo 1 > new; mkdir -p a/b; echo 2 > a/b/c; echo 3 > /top`, Diff: []string{"C /img", "A /img/new", "A /img/a", "A /img/a/b", "A /img/a/b/c", "A /top"}},
	{Name: "empty files and directories made", Script: `: > void; mkdir vacant; mkdir -p a/b/c; : > a/b/void`, Diff: []string{"C /img", "A /img/void", "A /img/vacant", "A /img/a", "A /img/a/b", "A /img/a/b/c", "A /img/a/b/void"}},
	{Name: "a file appended to", Script: `echo more >> file`, Diff: []string{"C /img", "C /img/file"}},
	{Name: "a file cut short", Script: `truncate -s 3 file; : > other; truncate -s 1000000 big`, Diff: []string{"C /img", "C /img/file", "C /img/other", "C /img/big"}},
	{Name: "a file rewritten at the same size", Script: `echo FILE > file`, Diff: []string{"C /img", "C /img/file"}},
	{Name: "a file rewritten at the same size with its time put back", Script: `echo FILE > file; fstool mtime 1600000000 file`, Diff: []string{"C /img", "C /img/file"}},
	{Name: "a byte in the middle of a large file with its time put back", Script: `fstool pwrite 1600000 X big; fstool mtime 1600000000 big`, Diff: []string{"C /img", "C /img/big"}},
	{Name: "a file moved over one of the same size and time", Script: `mv twin-a twin-b; fstool mtime 1600000000 .`, Diff: []string{"C /img", "D /img/twin-a", "C /img/twin-b"}},
	{Name: "a file rewritten with its time put back to the nanosecond", Script: `echo AAAA > nano-a; fstool mtime 1600000000.123456789 nano-a`, Diff: []string{"C /img", "C /img/nano-a"}},
	{Name: "a file moved over one of the same size and nanosecond", Script: `mv nano-a nano-b`, Diff: []string{"C /img", "D /img/nano-a", "C /img/nano-b"}},
	{Name: "two files of the same size and time exchanged", Script: `mv twin-a t; mv twin-b twin-a; mv t twin-b`, Diff: []string{"C /img", "C /img/twin-a", "C /img/twin-b"}},
	{Name: "a file replaced as editors do", Script: `cp -p file .file.swp; echo edited >> .file.swp; mv .file.swp file`, Diff: []string{"C /img", "C /img/file"}},
	{Name: "a file changed and changed back later", Script: `cp file /tmp/save; echo X > file; cat /tmp/save > file; rm /tmp/save`, Diff: []string{"C /img", "C /img/file", "C /tmp"}},
	{Name: "a megabyte that does not compress", Script: `dd if=/dev/urandom of=random bs=64k count=24 2>/dev/null`, Diff: []string{"C /img", "A /img/random"}},
	{Name: "more files in a directory than are read at once", Script: `mkdir m; for i in $(seq 17000); do : > m/$i; done; echo x > m/1`},
}

// What changes without any content.
var metadataCases = []Case{
	{Name: "only the mode of a file", Script: `chmod 600 file`, Diff: []string{"C /img", "C /img/file"}},
	{Name: "only the mode of a directory", Script: `chmod 700 dir`, Diff: []string{"C /img", "C /img/dir"}},
	{Name: "no rights at all", Script: `chmod 0 file dir; echo x > new; mkdir newdir; echo x > newdir/x; chmod 0 new newdir/x newdir`, Diff: []string{"C /img", "C /img/file", "C /img/dir", "A /img/new", "A /img/newdir", "A /img/newdir/x"}},
	{Name: "only setuid, setgid and sticky bits", Script: `chmod 6755 file; chmod 3777 empty; chmod 755 setuid; chmod 755 sticky`, Diff: []string{"C /img", "C /img/file", "C /img/empty", "C /img/setuid", "C /img/sticky"}},
	{Name: "only the time of a file", Script: `fstool mtime 1500000000 file`, Diff: []string{"C /img", "C /img/file"}},
	{Name: "only the time of a directory", Script: `fstool mtime 1500000000 dir/sub`},
	{Name: "the time of a directory put back after changes", Script: `echo 1 > dir/new; rm dir/a; fstool mtime 1600000000 dir`, Diff: []string{"C /img", "C /img/dir", "A /img/dir/new", "D /img/dir/a"}},
	{Name: "only the time of a symbolic link", Script: `fstool mtime 1500000000 link dangling`, Diff: []string{"C /img", "C /img/link", "C /img/dangling"}},
	{Name: "only an extended attribute added", Script: `fstool setxattr user.new 1 file`, Diff: []string{"C /img", "C /img/file"}},
	{Name: "only an extended attribute changed", Script: `fstool setxattr user.tag BASE tagged`, Diff: []string{"C /img", "C /img/tagged"}},
	{Name: "only an extended attribute removed", Script: `fstool removexattr user.tag tagged`, Diff: []string{"C /img", "C /img/tagged"}},
	{Name: "only an extended attribute of a directory", Script: `fstool setxattr user.new 1 dir`, Diff: []string{"C /img", "C /img/dir"}},
	{Name: "extended attributes empty, binary and long", Script: `echo x > new; fstool setxattr user.empty '' new; fstool setxattr user.binary '\xff\x00\n=\x01' new; fstool setxattr user.long $(printf 'x%.0s' $(seq 2000)) new`},
	{Name: "only a capability added", Script: `fstool setxattr security.capability '` + escaped(capability) + `' file`, Diff: []string{"C /img", "C /img/file"}},
	{Name: "only a capability removed", Script: `fstool removexattr security.capability capable`, Diff: []string{"C /img", "C /img/capable"}},
	{Name: "a program with a capability copied", Script: `cp capable new; fstool setxattr security.capability '` + escaped(capability) + `' new`, Diff: []string{"C /img", "A /img/new"}},
	{Name: "attributes that look like the marks of an overlay", Script: `fstool setxattr user.overlay.opaque y dir; : > other; fstool setxattr user.overlay.whiteout y other; fstool setxattr user.overlay.redirect /img/full moved; fstool setxattr user.overlay.metacopy '' big`},
	{Name: "an access control list added", Script: `fstool setxattr system.posix_acl_access '` + escaped(acl) + `' file`},
	{Name: "an access control list removed", Script: `fstool removexattr system.posix_acl_access acl`},
	{Name: "a mode changed under an access control list", Script: `chmod 600 acl`, Diff: []string{"C /img", "C /img/acl"}},
	{Name: "a default access control list", Script: `fstool setxattr system.posix_acl_default '` + escaped(acl) + `' dir; echo 1 > dir/inherits; mkdir dir/inherits-too`},
	{Name: "the root's mode and owner", Script: `chmod 711 /; chown 3:4 /`},
	{Name: "times with nanoseconds are cut, not rounded", Script: `echo x > new; mkdir newdir; fstool mtime 1500000000.999999999 new newdir file`},
	{Name: "times before 1970", Script: `echo x > new; mkdir newdir; ln -s x newlink; fstool mtime -631152000 new newdir newlink file; fstool mtime -1.500000000 other`},
	{Name: "the time zero", Script: `echo x > new; fstool mtime 0 new file`},
	{Name: "times after 2038", Script: `echo x > new; mkdir newdir; ln -s x newlink; fstool mtime 4102444800.5 new newdir newlink file`},
	{Name: "times after 2262", Script: `echo x > new; mkdir newdir; fstool mtime 10413792000 new newdir file`},
}

// Whose files are.
var ownerCases = []Case{
	{Name: "only the owner of a file", Script: `chown 7 file`, Diff: []string{"C /img", "C /img/file"}},
	{Name: "only the group of a directory", Script: `chgrp 7 dir`, Diff: []string{"C /img", "C /img/dir"}},
	{Name: "only the owner of a symbolic link", Script: `chown -h 7:8 link dangling`, Diff: []string{"C /img", "C /img/link", "C /img/dangling"}},
	{Name: "only the owner of a device and a FIFO", Script: `chown 7:8 null fifo`, Diff: []string{"C /img", "C /img/null", "C /img/fifo"}},
	{Name: "owners with large numbers", Script: `echo x > new; chown 2000000:3000000 new file; chown 4294967294:4294967294 other dir; chown -h 4294967294:1 link`},
	{Name: "an owner of the image with a large number", Script: `echo more >> foreign; chmod 644 foreign`, Diff: []string{"C /img", "C /img/foreign"}},
	{Name: "setuid and setgid set again after a change of the owner", Script: `chown 7:8 setuid setgid; chmod 4755 setuid; chmod 2755 setgid`, Diff: []string{"C /img", "C /img/setuid", "C /img/setgid"}},
	{Name: "setuid and setgid lost by a change of the owner", Script: `chown 7:8 setuid setgid`, Diff: []string{"C /img", "C /img/setuid", "C /img/setgid"}},
	{Name: "a capability lost by a change of the owner", Script: `chown 7:8 capable`, Diff: []string{"C /img", "C /img/capable"}},
	{Name: "new files with an owner, setuid, setgid and sticky bits", Script: `echo x > u; echo x > g; mkdir s; mkdir sg; chown 7:8 u g s sg; chmod 4711 u; chmod 2755 g; chmod 1777 s; chmod 2775 sg; echo 1 > sg/1`},
	{Name: "files in a directory with setgid", Script: `chgrp 99 setgid-dir; chmod 2775 setgid-dir; echo 1 > setgid-dir/1; mkdir setgid-dir/2`},
	{Name: "chown -R over a directory of the image", Script: `chown -R 7:8 dir full hard`},
	{Name: "chown -R over all of the image", Script: `chown -R 7:8 /img`},
	{Name: "chmod -R over a directory of the image", Script: `chmod -R go-rwx dir full`},
	{Name: "a mode changed, then one byte", Script: `chmod 600 big; fstool pwrite 3000000 X big; chown 7 big`, Diff: []string{"C /img", "C /img/big"}},
	{Name: "an owner changed and changed back", Script: `chown 7:8 big other; chown 0:0 big other`},
}

// escaped is a string as fstool reads it.
func escaped(s string) string {
	const digits = "0123456789abcdef"
	var out []byte
	for i := range len(s) {
		out = append(out, '\\', 'x', digits[s[i]>>4], digits[s[i]&15])
	}
	return string(out)
}
