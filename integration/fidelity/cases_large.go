package fidelity

// Files that are large enough to be shared by those who can.
var largeCases = []Case{
	{
		Name:   "large files of several names",
		Script: `head -c 2m /dev/zero > large; ln large dir/large; ln large again; mkdir new; ln large new/large`,
		Diff:   []string{"C /img", "A /img/large", "A /img/again", "C /img/dir", "A /img/dir/large", "A /img/new", "A /img/new/large"},
	},
	{
		Name: "large files with owners, modes and attributes",
		Script: `for i in 1 2 3 4 5 6; do head -c 1500000 /dev/zero > l$i; done; chown 5:6 l1; chmod 6751 l1; chmod 0 l2; chown 7 l5; chmod 4755 l5
fstool setxattr user.tag large l3; fstool setxattr security.capability '` + escaped(capability) + `' l4; fstool setxattr system.posix_acl_access '` + escaped(acl) + `' l6`,
	},
	{
		Name:   "large files with odd times",
		Script: `for i in 1 2 3; do head -c 1500000 /dev/zero > l$i; done; fstool mtime -86400.5 l1; fstool mtime 1600000000 l2; fstool mtime 10000000000 l3`,
	},
	{
		Name:   "large files with holes",
		Script: `echo end | dd of=holes bs=1M seek=9 2>/dev/null; truncate -s 5000000 hole; head -c 3m /dev/zero > middle; echo x | dd of=middle bs=1M seek=20 conv=notrunc 2>/dev/null`,
	},
	{
		Name:   "large files of the image written and renamed",
		Script: `echo more >> big; mv big moved-big; mkdir l; mv moved-big l/; head -c 2m /dev/zero > l/other; mv l/other file`,
	},
	{
		Name:   "large files replaced by others",
		Script: `head -c 2m /dev/zero > a; rm big; head -c 2m /dev/zero > big; rm a; mkdir a; head -c 2m /dev/zero > a/a; rm file; ln -s a/a file`,
	},
}
