// Fstool does to files what busybox cannot. The fidelity corpus runs it in
// containers; it is built without cgo, so that it runs in any image.
//
//	fstool setxattr NAME VALUE FILE...     VALUE is a Go string without quotes: \x00
//	fstool removexattr NAME FILE...
//	fstool mtime SECONDS[.NANOSECONDS] FILE...
//	fstool open FILE...                    for writing, and write nothing
//	fstool pwrite OFFSET TEXT FILE...
//	fstool socket FILE...                  binds one and goes
//	fstool connect FILE...                 to a stream socket, and stays so
//	fstool deep LEVELS NAME FOLDER...      a folder in a folder in a folder
//	fstool list FOLDER...                  prints all that is below it, with contents' hashes
package main
