package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// nap is what the clock is read after, over and over.
const nap = time.Millisecond

// watch looks at the clock in a loop and remembers the longest gap. It tells it
// through a socket and writes no file: a file system that is being synced would
// hold it up, and that is no pause.
func watch(socket string) error {
	// The program that was killed here before has left its own.
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM)
	w := &watcher{began: time.Now()}
	go w.sample()
	go w.serve(listener)
	<-end
	return nil
}

// watcher has times as nanoseconds since it began.
type watcher struct {
	began   time.Time
	last    atomic.Int64
	longest atomic.Int64
}

func (w *watcher) sample() {
	// A thread of its own sleeps in the kernel, past Go's scheduler.
	runtime.LockOSThread()
	for {
		pause := syscall.NsecToTimespec(int64(nap))
		_ = syscall.Nanosleep(&pause, nil) // woken by a signal it is early, no more
		now := int64(time.Since(w.began))
		if gap := now - w.last.Swap(now); gap > w.longest.Load() {
			w.longest.Store(gap)
		}
	}
}

// serve answers "reset" and "read", one to a connection, with the longest gap in
// nanoseconds since the last reset. A gap that has not ended counts.
func (w *watcher) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		request, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil {
			gap := max(w.longest.Load(), int64(time.Since(w.began))-w.last.Load())
			if request == "reset\n" {
				w.longest.Store(0)
			}
			fmt.Fprintln(conn, gap)
		}
		conn.Close()
	}
}
