package fidelity

import "slices"

// Case changes the files of a container in one way.
type Case struct {
	Name string
	// Script is for busybox's sh -e, in /img of the base image (see base.go),
	// with fstool in the PATH.
	Script string
	// Diff has the lines of `docker diff`, in any order, by Moby's convention: a
	// directory that something changed in is changed too, what is below a
	// deleted one is not listed. If nil it does not matter.
	Diff []string
	// Empty says that there is no change and so no layer.
	Empty bool
	// Reserved says that the script makes names that a layer cannot hold. The
	// commit may refuse and say so, or leave them out; but nothing else.
	Reserved bool
	// Strict says that the snapshot must hold nothing of the runtime, also
	// where other cases would not look.
	Strict bool
}

// Cases returns the corpus.
func Cases() []Case {
	return slices.Concat(nothingCases, goneCases, turnedCases, contentCases, metadataCases, ownerCases,
		linkCases, specialCases, nameCases, renameCases, largeCases)
}

var nothingCases = []Case{
	{
		Name:   "nothing changed",
		Script: `cat file big dir/sub/c > /dev/null`,
		Diff:   []string{}, Empty: true,
	},
	{
		Name:   "the snapshot holds nothing of the runtime",
		Script: `echo x > /etc/x`,
		Diff:   []string{"C /etc", "A /etc/x"}, Strict: true,
	},
	{
		Name:   "a directory of the runtime's files replaced in part",
		Script: `rm /etc/passwd /etc/group; echo root:x:0:0::/: > /etc/passwd; chmod 700 /etc; mkdir /etc/conf; echo 1 > /etc/conf/1`,
		Diff:   []string{"C /etc", "C /etc/passwd", "D /etc/group", "A /etc/conf", "A /etc/conf/1"},
	},
	{
		Name:   "the runtime's own file deleted",
		Script: `rm /.dockerenv; echo x > new`,
	},
	{
		Name:   "a file opened for writing and not written",
		Script: `fstool open file dir/sub/c setuid capable tagged; : >> other`,
	},
	{
		Name:   "a mode set to what it is",
		Script: `chmod 644 file; chmod 4755 setuid; chmod 755 dir; chown 0:0 other; fstool mtime 1600000000 big`,
	},
	{
		Name:   "a file of names linked hard opened and not written",
		Script: `fstool open hard/x`,
	},
}

// What is gone: files, and what they had hidden or were part of.
var goneCases = []Case{
	{Name: "a file deleted", Script: `rm file`, Diff: []string{"C /img", "D /img/file"}},
	{Name: "a directory deleted", Script: `rm -r dir`, Diff: []string{"C /img", "D /img/dir"}},
	{Name: "an empty directory deleted", Script: `rmdir empty`, Diff: []string{"C /img", "D /img/empty"}},
	{Name: "a dangling symbolic link deleted", Script: `rm dangling`, Diff: []string{"C /img", "D /img/dangling"}},
	{
		Name:   "symbolic links to a file and to a directory deleted",
		Script: `rm link dirlink dir/up`,
		Diff:   []string{"C /img", "D /img/link", "D /img/dirlink", "C /img/dir", "D /img/dir/up"},
	},
	{Name: "a FIFO and a device deleted", Script: `rm fifo null`, Diff: []string{"C /img", "D /img/fifo", "D /img/null"}},
	{
		Name:   "files of both of the image's layers deleted",
		Script: `rm dir/second dir/a dir/sub/second turned/inside`,
		Diff:   []string{"C /img", "C /img/dir", "D /img/dir/second", "D /img/dir/a", "C /img/dir/sub", "D /img/dir/sub/second", "C /img/turned", "D /img/turned/inside"},
	},
	{Name: "a file deleted that had hidden an older one", Script: `rm hidden/new`, Diff: []string{"C /img", "C /img/hidden", "D /img/hidden/new"}},
	{
		Name:   "all in a directory deleted, not the directory",
		Script: `rm -r moved/* dir/sub/*`,
		Diff:   []string{"C /img", "C /img/moved", "D /img/moved/one", "D /img/moved/two", "C /img/dir", "C /img/dir/sub", "D /img/dir/sub/c", "D /img/dir/sub/second", "D /img/dir/sub/deep"},
	},
	{Name: "files made and deleted again", Script: `echo x > new; mkdir -p newdir/sub; echo x > newdir/sub/x; rm -r new newdir`},
	{
		Name:   "a file deleted and made again",
		Script: `rm file; echo again > file`,
		Diff:   []string{"C /img", "C /img/file"},
	},
	{
		Name:   "a directory deleted and made again, empty",
		Script: `rm -r moved; mkdir moved`,
		Diff:   []string{"C /img", "C /img/moved", "D /img/moved/one", "D /img/moved/two"},
	},
	{
		Name:   "a directory deleted and made again with other content",
		Script: `rm -r moved; mkdir -m 700 moved; echo 3 > moved/three; mkdir moved/one; echo in > moved/one/in`,
		Diff:   []string{"C /img", "C /img/moved", "C /img/moved/one", "A /img/moved/one/in", "D /img/moved/two", "A /img/moved/three"},
	},
	{
		Name:   "a directory made again with a directory in it that the image has too",
		Script: `rm -r dir; mkdir -p dir/sub; echo 1 > dir/sub/1`,
	},
	{
		Name:   "a directory made again within one that was made again",
		Script: `rm -r dir; mkdir -p dir/sub; echo c > dir/sub/c; rm -r dir/sub; mkdir -p dir/sub/deep; echo 1 > dir/sub/deep/1`,
	},
	{
		Name:   "a directory made again that hides an older one",
		Script: `rm -r hidden; mkdir hidden; echo newest > hidden/newest`,
	},
	{
		Name:   "a file put where the image had deleted one",
		Script: `echo back > gone; echo 08 > full/08; echo older > hidden/old`,
		Diff:   []string{"C /img", "A /img/gone", "C /img/full", "A /img/full/08", "C /img/hidden", "A /img/hidden/old"},
	},
	{
		Name:   "a directory put where the image had deleted a file",
		Script: `mkdir gone; echo 1 > gone/1; mkdir full/08 hidden/old`,
		Diff:   []string{"C /img", "A /img/gone", "A /img/gone/1", "C /img/full", "A /img/full/08", "C /img/hidden", "A /img/hidden/old"},
	},
	{
		Name:   "a new directory inside one of the image",
		Script: `mkdir -p dir/new/newer; echo 1 > dir/new/newer/1`,
		Diff:   []string{"C /img", "C /img/dir", "A /img/dir/new", "A /img/dir/new/newer", "A /img/dir/new/newer/1"},
	},
}

// What became of another type.
var turnedCases = []Case{
	{
		Name:   "a file turned into a directory with children",
		Script: `rm file; mkdir file; echo 1 > file/1; mkdir file/2; echo 3 > file/2/3`,
		Diff:   []string{"C /img", "C /img/file", "A /img/file/1", "A /img/file/2", "A /img/file/2/3"},
	},
	{Name: "a directory turned into a file", Script: `rm -r dir; echo file > dir`, Diff: []string{"C /img", "C /img/dir"}},
	{
		Name:   "a directory turned into a file and back",
		Script: `rm -r dir; echo file > dir; rm dir; mkdir dir; echo 1 > dir/1`,
	},
	{
		Name:   "a file turned into a directory and back",
		Script: `rm file; mkdir file; echo 1 > file/1; rm -r file; echo 'back again' > file`,
		Diff:   []string{"C /img", "C /img/file"},
	},
	{
		Name:   "what the image turned into a directory turned back",
		Script: `rm -r turned; echo 'a file again' > turned`,
		Diff:   []string{"C /img", "C /img/turned"},
	},
	{
		Name:   "a symbolic link turned into a directory",
		Script: `rm dirlink; mkdir dirlink; echo 1 > dirlink/1`,
		Diff:   []string{"C /img", "C /img/dirlink", "A /img/dirlink/1"},
	},
	{
		Name:   "a dangling symbolic link turned into a directory",
		Script: `rm dangling; mkdir dangling; echo 1 > dangling/1`,
		Diff:   []string{"C /img", "C /img/dangling", "A /img/dangling/1"},
	},
	{Name: "a directory turned into a symbolic link", Script: `rm -r dir; ln -s full dir`, Diff: []string{"C /img", "C /img/dir"}},
	{Name: "a directory turned into a link to itself", Script: `mv moved was; ln -s was moved`},
	{Name: "a file turned into a symbolic link and a link into a file", Script: `rm file link; ln -s other file; echo 1 > link`, Diff: []string{"C /img", "C /img/file", "C /img/link"}},
	{Name: "a file turned into a FIFO and a FIFO into a file", Script: `rm file fifo; mkfifo file; echo 1 > fifo`, Diff: []string{"C /img", "C /img/file", "C /img/fifo"}},
	{Name: "a device turned into a file and a file into a device", Script: `rm null file; echo 1 > null; mknod file c 1 5`, Diff: []string{"C /img", "C /img/file", "C /img/null"}},
	{Name: "a directory turned into a device", Script: `rm -r dir; mknod dir b 7 7`, Diff: []string{"C /img", "C /img/dir"}},
	{Name: "a file turned into a socket", Script: `rm file; fstool socket file`},
}
