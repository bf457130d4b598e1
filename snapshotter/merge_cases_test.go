package snapshotter_test

// mergeBase is below both images.
const mergeBase = `
	mkdir -p a/b/c d/e empty etc l var/lib/dpkg/info
	echo one > a/one; echo two > a/b/two; echo three > a/b/c/three; ln -s one a/link
	echo x > d/x; echo y > d/e/y; chown 1000:1000 d/e; echo file > file; echo other > other; mkfifo fifo
	echo l > l/1; ln l/1 l/2; echo db > var/lib/dpkg/status; echo cache > etc/ld.so.cache
	find . -exec touch -h -d @1000000000 {} +`

// mergeCase is one upgrade. What it should come to is told by scripts that are
// run on the new image.
type mergeCase struct {
	name      string
	image     string   // makes the new image of the base
	container string   // changes the container; the base is its image
	keep      string   // if the container wins
	imageWins string   // if the image wins; no script is the new image as it is
	conflicts []string // path, what the container did / what the image did
	dropped   []string // path < path of the conflict, if the image wins
}

var mergeCases = []mergeCase{
	{name: "nothing"},
	{name: "what the container did not change follows", image: `echo new > file; rm other; mkdir n; ln -s n s; chmod 700 d`},
	{name: "what the image did not change stays", container: `echo mine > file; rm other; mkdir n; ln -s n s; chmod 700 d; rm -r a/b; echo i > a/i`,
		keep: `echo mine > file; rm other; mkdir n; ln -s n s; chmod 700 d; rm -r a/b; echo i > a/i`},
	{name: "different paths", image: `echo new > a/one; rm d/x`, container: `echo mine > a/b/two; echo e > d/e/z`,
		keep: `echo mine > a/b/two; echo e > d/e/z`},
	{name: "both the same", image: `echo same > file; rm other; mkdir -p n/m; echo f > n/m/f; chmod 711 d; ln -sfn two a/link`,
		container: `echo same > file; rm other; mkdir -p n/m; echo f > n/m/f; chmod 711 d; ln -sfn two a/link`},
	{name: "only times of the image", image: `find . -exec touch -h -d @1234567890 {} +`, container: `echo mine > file; rm -r a; rm d/x`,
		keep: `echo mine > file; rm -r a; rm d/x`},
	{name: "a time alone follows", image: `echo new > file; rm other; rm d/x; mkdir d/x`, container: `touch file other d/x`},

	{name: "a file both changed", image: `echo new > file`, container: `echo mine > file`,
		keep: `echo mine > file`, conflicts: []string{"file changed/changed"}},
	{name: "a file of one size both changed", image: `echo elif > file`, container: `echo life > file`,
		keep: `echo life > file`, conflicts: []string{"file changed/changed"}},
	{name: "a file both changed, in metadata and content", image: `echo new > file`, container: `chmod 600 file`,
		keep: `echo file > file; chmod 600 file`, conflicts: []string{"file changed/changed"}},
	{name: "a file both changed, in metadata", image: `chown 5 file; chmod 640 other`, container: `chmod 600 file
	: setxattr other user.k v`,
		keep: `chown 0 file; chmod 600 file; chmod 644 other
	: setxattr other user.k v`, conflicts: []string{"file changed/changed", "other changed/changed"}},
	{name: "a file both added", image: `echo new > n; ln -s n s`, container: `echo mine > n; ln -s m s`,
		keep: `echo mine > n; ln -sfn m s`, conflicts: []string{"n created/created", "s created/created"}},
	{name: "a file changed and removed", image: `rm file`, container: `echo mine > file`,
		keep: `echo mine > file`, conflicts: []string{"file changed/removed"}},
	{name: "a file removed and changed", image: `echo new > file`, container: `rm file`,
		keep: `rm file`, conflicts: []string{"file removed/changed"}},
	{name: "a file removed and replaced", image: `rm file fifo; mkdir file; echo f > file/f; ln -s a fifo`, container: `rm file fifo`,
		keep: `rm -r file fifo`, conflicts: []string{"fifo removed/replaced", "file removed/replaced"}},
	{name: "types of files", image: `rm fifo; ln -s a fifo`, container: `rm fifo; mknod fifo c 1 3`,
		keep: `rm fifo; mknod fifo c 1 3`, conflicts: []string{"fifo replaced/replaced"}},

	{name: "a directory removed that the image left", image: `echo new > file`, container: `rm -r a`, keep: `rm -r a`},
	{name: "a directory removed that the image changed deep below", image: `echo new > a/b/c/three`, container: `rm -r a`,
		keep: `rm -r a`, conflicts: []string{"a removed/changed"}},
	{name: "a directory removed that the image added to", image: `mkdir a/b/n; chmod 700 d`, container: `rm -r a d`,
		keep: `rm -r a d`, conflicts: []string{"a removed/changed", "d removed/changed"}},
	{name: "a directory removed that the image removed from", image: `rm a/b/two`, container: `rm -r a`,
		keep: `rm -r a`, conflicts: []string{"a removed/changed"}},
	{name: "a directory that both removed", image: `rm -r a`, container: `rm -r a`},
	{name: "below a directory that the image removed", image: `rm -r a`, container: `rm a/one; rm -r a/b/c; touch a/b/two a/b`},

	{name: "a file over a directory that the image left", image: `echo new > file`, container: `rm -r a; echo f > a`, keep: `rm -r a; echo f > a`},
	{name: "a file over a directory that the image changed", image: `echo new > a/b/n`, container: `rm -r a; echo f > a`,
		keep: `rm -r a; echo f > a`, conflicts: []string{"a replaced/changed"}},
	{name: "a file over a directory that the image removed", image: `rm -r a`, container: `rm -r a; echo f > a`,
		keep: `echo f > a`, conflicts: []string{"a replaced/removed"}},
	{name: "the same file over a directory", image: `rm -r a; echo f > a`, container: `rm -r a; echo f > a`},
	{name: "a directory over a file that the image left", image: `chmod 700 d`, container: `rm file; mkdir -p file/d; echo in > file/d/in`,
		keep: `rm file; mkdir -p file/d; echo in > file/d/in`},
	{name: "a directory over a file that the image changed", image: `echo new > file`, container: `rm file; mkdir -p file/d; echo in > file/d/in`,
		keep: `rm file; mkdir -p file/d; echo in > file/d/in`, conflicts: []string{"file replaced/changed"}, dropped: []string{"file/d < file", "file/d/in < file"}},
	{name: "a directory over a file that the image removed", image: `rm file`, container: `rm file; mkdir -p file/d`,
		keep: `mkdir -p file/d`, conflicts: []string{"file replaced/removed"}, dropped: []string{"file/d < file"}},
	{name: "a directory over a file, by both", image: `rm file; mkdir file; echo n > file/n; echo n > file/b`, container: `rm file; mkdir file; echo m > file/m; echo m > file/b`,
		keep: `echo m > file/m; echo m > file/b`, imageWins: `echo m > file/m`, conflicts: []string{"file/b created/created"}},
	{name: "a directory and a file, both new", image: `echo n > n; mkdir m; echo m > m/m`, container: `mkdir n; echo in > n/in; echo m > m`,
		keep: `rm -r n m; mkdir n; echo in > n/in; echo m > m`, conflicts: []string{"m created/created", "n created/created"}, dropped: []string{"n/in < n"}},

	{name: "in a directory that the image replaced", image: `rm -r a; echo a > a`, container: `echo mine > a/b/two; rm a/one; mkdir a/n; echo n > a/n/n; touch -h a/link`,
		keep: `rm a; mkdir -p a/b/c a/n; echo mine > a/b/two; echo n > a/n/n; echo three > a/b/c/three; ln -s one a/link`, conflicts: []string{"a changed/replaced"},
		dropped: []string{"a/b/two < a", "a/n < a", "a/n/n < a"}},
	{name: "in a directory that became a link", image: `mv d/e d/f; ln -s f d/e`, container: `echo mine > d/e/y; chmod 700 d/e`, keep: `echo mine > d/f/y`},
	{name: "in a directory that became a link to nothing", image: `rm -r d/e; ln -s f d/e`, container: `echo mine > d/e/y; chmod 700 d/e`,
		keep: `rm d/e; mkdir d/e; echo mine > d/e/y; chown 1000:1000 d/e; chmod 700 d/e`, conflicts: []string{"d/e changed/replaced"}, dropped: []string{"d/e/y < d/e"}},
	{name: "deletions and times in a directory that the image replaced", image: `rm -r a; echo a > a`, container: `rm a/b/two a/one; touch -h a/link a/b`},
	{name: "metadata of a directory that the image replaced", image: `rm -r d; echo d > d`, container: `chmod 700 d`,
		keep: `rm d; cp -a $base/d .; chmod 700 d`, conflicts: []string{"d changed/replaced"}},

	{name: "new files where the image removed the directory", image: `rm -r a d`, container: `mkdir a/b/n; echo n > a/b/n/n; echo z > d/e/z; chmod 751 a/b/c; chmod 755 a/b/c`,
		keep:      `cp -a $base/a $base/d .; mkdir a/b/n; echo n > a/b/n/n; echo z > d/e/z`,
		conflicts: []string{"a changed/removed", "d changed/removed"}, dropped: []string{"a/b/n < a", "a/b/n/n < a", "d/e/z < d"}},
	{name: "changed files where the image removed the directory", image: `rm -r a`, container: `echo mine > a/b/two; echo one > a/one`,
		keep: `cp -a $base/a .; echo mine > a/b/two`, conflicts: []string{"a changed/removed"}, dropped: []string{"a/b/two < a"}},
	{name: "deletions and new files where the image removed the directory", image: `rm -r a`, container: `rm a/one a/b/two; echo n > a/n; ln a/b/c/three a/b/c/four`,
		keep: `cp -a $base/a .; rm a/one a/b/two; echo n > a/n; ln a/b/c/three a/b/c/four`, conflicts: []string{"a changed/removed"},
		dropped: []string{"a/b/c/four < a", "a/n < a"}},
	{name: "metadata of a directory that the image removed", image: `rm -r d`, container: `chmod 700 d`,
		keep: `cp -a $base/d .; chmod 700 d`, conflicts: []string{"d changed/removed"}},
	{name: "metadata of and a file in a directory that the image removed", image: `rm -r d`, container: `chmod 700 d; echo n > d/n`,
		keep: `cp -a $base/d .; chmod 700 d; echo n > d/n`, conflicts: []string{"d changed/removed"}, dropped: []string{"d/n < d"}},

	{name: "metadata of a directory, by one side each", image: `chmod 700 d; echo n > a/n`, container: `echo m > d/m
	: setxattr a user.k v`,
		keep: `echo m > d/m
	: setxattr a user.k v`},
	{name: "metadata of a directory, by both", image: `chmod 700 d`, container: `chown 7 d; echo m > d/m`,
		keep: `chmod 755 d; chown 7 d; echo m > d/m`, imageWins: `echo m > d/m`, conflicts: []string{"d changed metadata of/changed metadata of"}},
	{name: "the root's metadata", container: `chmod 711 .`, keep: `chmod 711 .`},
	{name: "the root's metadata, by both", image: `chmod 711 .`, container: `chmod 700 .; echo n > n`,
		keep: `chmod 700 .; echo n > n`, imageWins: `echo n > n`, conflicts: []string{". changed metadata of/changed metadata of"}},
	{name: "a directory that both added", image: `mkdir -p n/m; echo i > n/m/i; echo i > n/b`, container: `mkdir -p n/m; echo c > n/m/c; echo c > n/b`,
		keep: `echo c > n/m/c; echo c > n/b`, imageWins: `echo c > n/m/c`, conflicts: []string{"n/b created/created"}},
	{name: "a directory that both added, of two owners", image: `mkdir n; echo i > n/i`, container: `mkdir n; chown 7 n; echo c > n/c`,
		keep: `chown 7 n; echo c > n/c`, imageWins: `echo c > n/c`, conflicts: []string{"n created/created"}},

	{name: "a directory made again", image: `echo n > a/b/n; echo n > a/n`, container: `rm -r a; mkdir -p a/b; echo mine > a/mine; echo one > a/one`,
		keep: `rm -r a/b/two a/b/c a/link; echo mine > a/mine`},
	{name: "a directory made again where the image changed files", image: `echo n > a/one; echo n > a/b/two`, container: `rm -r a; mkdir a; echo mine > a/one`,
		keep: `rm -r a/b a/link; echo mine > a/one`, imageWins: `rm -r a/link`, conflicts: []string{"a/b removed/changed", "a/one changed/changed"}},
	{name: "a renamed directory", image: `chmod 700 a/b`, container: `mv d z 2>/dev/null || { cp -a d z && rm -r d; }; echo n > z/e/n`,
		keep: `cp -a d z; rm -r d; echo n > z/e/n`},
	{name: "a renamed directory that the image changed", image: `echo new > d/x`, container: `mv d z 2>/dev/null || { cp -a d z && rm -r d; }`,
		keep: `mkdir z; cp -a d/e z; echo x > z/x; rm -r d`, imageWins: `mkdir z; cp -a d/e z; echo x > z/x`, conflicts: []string{"d removed/changed"}},
	{name: "a directory renamed over another", image: `echo n > empty/n; echo n > empty/x`, container: `rmdir empty; mv d empty 2>/dev/null || { cp -a d empty && rm -r d; }`,
		keep: `rm -r empty/x; cp -a d/. empty/; rm -r d`, imageWins: `cp -a d/e empty/; rm -r d`, conflicts: []string{"empty/x created/created"}},

	{name: "hard links of the container", image: `echo n > n1`, container: `echo l > l1; ln l1 l2; mkdir ld; ln l1 ld/l3`,
		keep: `echo l > l1; ln l1 l2; mkdir ld; ln l1 ld/l3`},
	{name: "hard links of which some are dropped", image: `echo n > l1; echo n > m2`, container: `echo l > l1; ln l1 l2; ln l1 l3; echo m > m1; ln m1 m2; ln m1 m3`,
		keep: `rm l1 m2; echo l > l1; ln l1 l2; ln l1 l3; echo m > m1; ln m1 m2; ln m1 m3`, imageWins: `echo l > l2; ln l2 l3; echo m > m1; ln m1 m3`,
		conflicts: []string{"l1 created/created", "m2 created/created"}},
	{name: "a hard link to a file of the image", image: `echo n > other`, container: `ln file linked`, keep: `ln file linked`},
	{name: "a hard link to a file that the image changed", image: `echo n > file`, container: `ln file linked`, keep: `echo file > linked`},
	{name: "a hard link of which the image has one name alike", image: `echo l > l1`, container: `echo l > l1; ln l1 l2; ln l1 l3`,
		keep: `echo l > l2; ln l2 l3`},
	{name: "a link of the image broken", image: `chmod 700 l`, container: `rm l/1; echo l > l/1`, keep: `rm l/1; echo l > l/1`},

	{name: "a path that the image added anew", image: `echo n > n; mkdir -p a/b/c/n`, container: `rm -r a/b/c/three; rm file; echo file > file`,
		keep: `rm a/b/c/three`},
	{name: "made and deleted before the image had it", image: `echo n > n; mkdir m; echo m > m/m; echo t > a/t`, container: `echo n > n; rm n; mkdir m; rmdir m; echo t > a/t; rm a/t`},
	{name: "a socket in a file's place", image: `echo n > n`, container: `rm file
	: socket file`, keep: `rm file`},

	{name: "package databases and the linker's cache", image: `echo new > var/lib/dpkg/status; echo new > var/lib/dpkg/info/x; echo new > etc/ld.so.cache`,
		container: `echo mine > var/lib/dpkg/status; echo mine > var/lib/dpkg/info/y; echo mine > etc/ld.so.cache`,
		keep:      `echo mine > var/lib/dpkg/status; echo mine > var/lib/dpkg/info/y; echo mine > etc/ld.so.cache`, imageWins: `echo mine > var/lib/dpkg/info/y`,
		conflicts: []string{"etc/ld.so.cache changed/changed linker cache", "var/lib/dpkg/status changed/changed package database"}},
	{name: "odd names", image: `touch "$(printf 'new\nline')"`, container: `echo m > "$(printf 'new\nline')"; touch "$(printf '\377')" 'back\slash'`,
		keep: `echo m > "$(printf 'new\nline')"; touch "$(printf '\377')" 'back\slash'`, imageWins: `touch "$(printf '\377')" 'back\slash'`,
		conflicts: []string{"new\nline created/created"}},
}
