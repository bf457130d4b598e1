package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// patience is for the container's program to answer.
const patience = 30 * time.Second

// watcher speaks with the `inside watch` of a container.
type watcher struct {
	dir, socket string
}

func newWatcher(dir, name string) *watcher {
	return &watcher{dir: dir, socket: name + ".sock"}
}

// mounted is the socket's path in the container.
func (w *watcher) mounted() string { return path.Join(mountedControl, w.socket) }

func (w *watcher) path() string { return filepath.Join(w.dir, w.socket) }

// close removes the socket, so that the next container can have one there.
func (w *watcher) close() { _ = os.Remove(w.path()) }

// await waits until the container answers.
func (w *watcher) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, err := w.ask("read")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the container's program: %w (%w)", ctx.Err(), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// ask sends "reset" or "read" and returns the longest gap since the last reset.
func (w *watcher) ask(what string) (time.Duration, error) {
	conn, err := net.DialTimeout("unix", w.path(), patience)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(conn, what+"\n"); err != nil {
		return 0, fmt.Errorf("ask the container's program: %w", err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return 0, fmt.Errorf("ask the container's program: %w", err)
	}
	gap, err := strconv.ParseInt(strings.TrimSpace(string(answer)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("ask the container's program: %w", err)
	}
	return time.Duration(gap), nil
}
