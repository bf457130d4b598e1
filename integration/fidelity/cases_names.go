package fidelity

import "strings"

// Which names are one file.
var linkCases = []Case{
	{Name: "a new pair of hard links", Script: `echo 1 > one; ln one two`, Diff: []string{"C /img", "A /img/one", "A /img/two"}},
	{Name: "new hard links across directories", Script: `mkdir -p z a; echo 1 > z/1; ln z/1 a/1; ln z/1 dir/1; ln z/1 /one`, Diff: []string{"C /img", "A /img/z", "A /img/a", "A /img/z/1", "A /img/a/1", "C /img/dir", "A /img/dir/1", "A /one"}},
	{Name: "a hard link to a file of the image", Script: `ln file linked-now`},
	{Name: "a hard link to a file whose mode was changed", Script: `chmod 600 other; ln other dir/other; chmod 4755 other`},
	{Name: "a hard link with capability, attribute and owner", Script: `echo 1 > one; chown 7:8 one; chmod 6711 one; fstool setxattr user.a 1 one; fstool setxattr security.capability '` + escaped(capability) + `' one; ln one two; ln one dir/three`},
	{Name: "another name of files that the image has linked", Script: `ln hard/x hard/w; ln hard/y new`},
	{Name: "one name of files that the image has linked, written", Script: `echo changed >> hard/y`, Diff: []string{"C /img", "C /img/hard", "C /img/hard/y"}},
	{Name: "one name of files that the image has linked, its mode changed", Script: `chmod 600 hard/y`, Diff: []string{"C /img", "C /img/hard", "C /img/hard/y"}},
	{Name: "one name of files that the image has linked, deleted", Script: `rm hard/x`, Diff: []string{"C /img", "C /img/hard", "D /img/hard/x"}},
	{Name: "all names but one deleted", Script: `rm hard/x hard/y linked`, Diff: []string{"C /img", "D /img/linked", "C /img/hard", "D /img/hard/x", "D /img/hard/y"}},
	{Name: "a hard link broken by a rewrite", Script: `cp hard/x t; mv t hard/x`, Diff: []string{"C /img", "C /img/hard", "C /img/hard/x"}},
	{Name: "a hard link put over a file", Script: `ln -f file other; ln -f twin-a twin-b`},
	{Name: "a hard link replaced by a copy of the same", Script: `cp -p hard/x t; mv t hard/x; fstool mtime 1600000000 hard hard/x`, Diff: []string{"C /img", "C /img/hard", "C /img/hard/x"}},
	{Name: "new hard links of which one is deleted", Script: `echo 1 > one; ln one two; ln one three; rm one`, Diff: []string{"C /img", "A /img/two", "A /img/three"}},
	{Name: "hard links of symbolic links, FIFOs and devices", Script: `ln -s x s1; ln s1 s2; mkfifo f1; ln f1 f2; mknod d1 c 1 3; ln d1 d2; ln fifo fifo2`},
	{Name: "hard links of a large file and an empty one", Script: `cp big b1; ln b1 b2; : > e1; ln e1 e2`},
	{Name: "a file linked, then renamed", Script: `echo 1 > one; ln one two; mv one dir/; mv dir/one renamed`},
	{Name: "a symbolic link turned to another target", Script: `ln -sfn other link; ln -sfn full dirlink`, Diff: []string{"C /img", "C /img/link", "C /img/dirlink"}},
	{Name: "a symbolic link turned to a target of the same length", Script: `ln -sfn fIlE link; fstool mtime 1600000000 link .`, Diff: []string{"C /img", "C /img/link"}},
	{Name: "symbolic links, absolute, long, up and in a circle", Script: `ln -s /etc/passwd abs; ln -s $(printf 't%.0s' $(seq 1500)) long; ln -s ../../../../../etc up; ln -s l1 l2; ln -s l2 l1; ln -s . self`},
}

// What is neither file, directory nor link.
var specialCases = []Case{
	{Name: "sockets are left out", Script: `fstool socket s; mkdir d; fstool socket d/s; echo 1 > d/1`},
	{Name: "a directory with nothing but a socket", Script: `mkdir d; chmod 700 d; fstool socket d/s`},
	{Name: "FIFOs", Script: `mkfifo -m 640 new; mkdir d; mkfifo d/f; chown 7:8 d/f`, Diff: []string{"C /img", "A /img/new", "A /img/d", "A /img/d/f"}},
	{Name: "devices", Script: `mknod c c 1 5; mknod b b 7 0; mknod -m 600 large c 4095 1048575; chown 7:8 b`, Diff: []string{"C /img", "A /img/c", "A /img/b", "A /img/large"}},
	{Name: "a device with other numbers", Script: `rm null; mknod -m 666 null c 1 5; fstool mtime 1600000000 null .`, Diff: []string{"C /img", "C /img/null"}},
	{Name: "the mode of a device and a FIFO", Script: `chmod 600 null; chmod 644 fifo`, Diff: []string{"C /img", "C /img/null", "C /img/fifo"}},
	{Name: "a sparse file", Script: `truncate -s 256M sparse; fstool pwrite 0 begin sparse; fstool pwrite 100000000 middle sparse`, Diff: []string{"C /img", "A /img/sparse"}},
	{Name: "a file that is all hole", Script: `truncate -s 64M hole; truncate -s 32M file`, Diff: []string{"C /img", "A /img/hole", "C /img/file"}},
	{Name: "a file of zeroes that is no hole", Script: `dd if=/dev/zero of=zero bs=64k count=32 2>/dev/null`, Diff: []string{"C /img", "A /img/zero"}},
}

// How files can be called.
var nameCases = []Case{
	{Name: "names over 100 bytes", Script: `n=` + strings.Repeat("n", 120) + `; echo 1 > $n; mkdir $n.d; echo 2 > $n.d/$n; ln -s $n.d/$n l; ln $n $n.h; rm $n`},
	{Name: "names of 255 bytes", Script: `n=` + strings.Repeat("n", 255) + `; echo 1 > $n; mkdir d; mkdir d/$n; echo 2 > d/$n/$n; ln d/$n/$n hard-link`},
	{Name: "paths over 255 bytes", Script: `n=` + strings.Repeat("n", 90) + `; mkdir -p $n/$n/$n/$n/$n; echo 1 > $n/$n/$n/$n/$n/$n; ln $n/$n/$n/$n/$n/$n hard-link; ln -s $n/$n/$n/$n/$n/$n symlink; mkdir -p dir/$n/$n/$n; echo 2 > dir/$n/$n/$n/2`},
	{Name: "a deep tree", Script: `mkdir deep; fstool deep 150 level deep; d=$(find deep -type d | tail -n 1); echo bottom > $d/bottom; ln $d/bottom top`},
	{Name: "names that are not UTF-8", Script: `n=$(printf '\377\376\200'); echo 1 > "$n"; mkdir "d$n"; echo 2 > "d$n/$n"; ln -s "$n" "l$n"; ln "$n" "h$n"; ln -s /etc/passwd "$(printf '\300\257')"`},
	{Name: "names in other scripts", Script: `echo 1 > 'Wal-Kühe'; echo 2 > '鯨'; mkdir 'кит'; echo 3 > 'кит/حوت'; echo 4 > '🐋'`, Diff: []string{"C /img", "A /img/Wal-Kühe", "A /img/鯨", "A /img/кит", "A /img/кит/حوت", "A /img/🐋"}},
	{Name: "names that programs stumble over", Script: `for n in -rf --help 'a b' ' lead' 'trail ' 'a:b' 'a,b' 'a=b' 'a\b' "it's" '"q"' '*' '?' '[x]' '$HOME' '` + "`id`" + `' '~' '#' '%s' ';' '&' '|' '<' '(' '!' '...' '.hidden' '..x' '@' '+'; do echo 1 > "./$n"; mkdir "./$n.d"; echo 2 > "./$n.d/$n"; done`},
	{Name: "names with control characters", Script: `for c in '\n' '\t' '\r' '\001' '\033' '\177'; do n=$(printf "a${c}b"); echo 1 > "$n"; mkdir "$n.d"; ln -s "$n" "$n.l"; done`},
	{Name: "odd names of the image deleted and renamed", Script: `rm -- dir/a; mv -- dir/b 'dir/ b:,\'; mv moved 'mo\ved,x:y'; echo 1 >> 'mo\ved,x:y/one'`},
	{Name: "a file whose name marks a deletion", Script: `: > .wh.file; mkdir -p d; : > d/.wh.x; echo 1 > d/x`, Reserved: true},
	{Name: "a file whose name marks an opaque directory", Script: `: > dir/.wh..wh..opq`, Reserved: true},
	{Name: "a directory whose name marks a deletion", Script: `mkdir .wh.dir; echo 1 > .wh.dir/x`, Reserved: true},
	{Name: "a file whose name marks the deletion of what is above", Script: `: > dir/.wh..; : > dir/.wh...`, Reserved: true},
	{Name: "names that only resemble such marks", Script: `: > .whx; : > wh.file; : > .w; mkdir .wha; : > .WH.file`, Diff: []string{"C /img", "A /img/.whx", "A /img/wh.file", "A /img/.w", "A /img/.wha", "A /img/.WH.file"}},
}

// What was renamed. Where overlay refuses to rename a directory of the image,
// mv copies and deletes it.
var renameCases = []Case{
	{Name: "a file renamed", Script: `mv file renamed; mv dir/a full/a`, Diff: []string{"C /img", "D /img/file", "A /img/renamed", "C /img/dir", "D /img/dir/a", "C /img/full", "A /img/full/a"}},
	{Name: "a directory of the image renamed", Script: `mv dir renamed`},
	{Name: "a directory renamed and changed", Script: `mv dir renamed; echo 1 > renamed/new; rm renamed/a; echo 2 >> renamed/sub/c; rm -r renamed/sub/deep`},
	{Name: "a directory renamed into another", Script: `mv dir moved/into; mv full dir`},
	{Name: "two directories exchanged", Script: `mv dir t; mv full dir; mv t full`},
	{Name: "a directory renamed over an empty one", Script: `rmdir empty; mv moved empty`},
	{Name: "a directory renamed and made again", Script: `mv moved was; mkdir moved; echo new > moved/one`},
	{Name: "a directory renamed whose files have names elsewhere in the image", Script: `mv hard h2`},
	{Name: "a directory renamed twice, its parent too", Script: `mv dir/sub dir/sub2; mv dir dir2; mv dir2/sub2 dir2/sub3; mkdir dir; mv dir2/sub3/deep dir/deep`},
	{Name: "a directory renamed and renamed back", Script: `mv dir t; mv t dir`},
	{Name: "a directory renamed, then all of it given away", Script: `mv dir renamed; chown -R 7:8 renamed; chmod -R o-rwx renamed; chown -R 9 hard`},
	{Name: "a directory renamed, then deleted", Script: `mv dir renamed; rm -r renamed`, Diff: []string{"C /img", "D /img/dir"}},
	{Name: "a renamed directory renamed into a new one", Script: `mkdir new; mv dir new/dir; mv new newer; echo 1 > newer/dir/1`},
	{Name: "a directory of both layers renamed", Script: `mv hidden h; mv turned t; echo 1 > h/old`},
	{Name: "files given away, then linked and renamed", Script: `chown 7 big; ln big big2; mv big dir/big; chmod 600 file; mv file file2`},
	{Name: "new directories renamed", Script: `mkdir -p a/b; echo 1 > a/b/c; mv a z; mv z/b b`, Diff: []string{"C /img", "A /img/z", "A /img/b", "A /img/b/c"}},
	{Name: "all at once", Script: `mv dir d2; rm -r full; mkdir full; echo 1 > full/07; ln full/07 d2/07; chown -R 5:6 d2; chmod 600 big; ln big b2; rm file; mkdir file; fstool socket file/s; mkfifo file/f; ln -sfn d2 dirlink; echo x >> hard/z; fstool setxattr user.a 1 d2/a; rm hidden/new; truncate -s 8M sparse; rm turned/inside; fstool mtime 1500000000 d2 /img`},
}
