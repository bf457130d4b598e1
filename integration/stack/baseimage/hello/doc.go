// Command hello is what the stand-in for the hello-world image runs. It is built
// from this one file, outside of any module.
package main
