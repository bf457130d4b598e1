// Package sysfault stands between a daemon and the kernel and makes calls on
// files fail.
//
// An [Injector] sees every call of a chosen kind that a program makes before
// the kernel does, by a seccomp filter that asks for each, and either lets it
// go on or answers it with an error. It tells of each call the name and the
// path that it works on; so a test can fail one operation on one file, and know
// just which.
//
// The program is started by the executable that imports this package, under
// the program's own name: that installs the filter, hands it to the injector
// and becomes the program. [Injector.Bin] makes a folder that looks like one of
// programs, with one of them wrapped in this way.
//
// [Unsynced] does the same without an injector for programs that are to believe
// that they sync files, and do not.
//
// # Caveats
//
// Processes that the program starts are under the filter too. The injector must
// outlive them all: calls that nobody answers fail with ENOSYS. A call that is
// interrupted by a signal before the injector has taken it is told again.
package sysfault
