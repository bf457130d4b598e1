// Package fault stands between dockerd and containerd and makes calls fail.
//
// A [Proxy] listens on a socket that dockerd is told is containerd's, and
// passes every call on as it comes, byte for byte. While a [Plan] is set, it
// counts the calls of the chosen methods and answers the nth with an error
// without containerd ever seeing it; so a test can fail each call of an
// operation in turn and look at what is left. Instead of an error there can be
// the end of either daemon, just before or just after the call.
//
// Both daemons are the real ones: only the wire between them is cut.
package fault
