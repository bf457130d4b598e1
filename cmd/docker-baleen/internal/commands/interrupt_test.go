package commands_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

// TestInterrupt: a signal ends an upgrade at once, and the request with it.
func TestInterrupt(t *testing.T) {
	gone := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			return
		}
		fmt.Fprintln(w, `{"Status":"stopping the container"}`)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
		close(gone)
	}))
	defer server.Close()
	o := new(daemon).run(t, on(server), "upgrade", "web", "app:2")
	if statusOf(o.err) != 130 || !strings.Contains(o.err.Error(), "stopped by a signal: docker baleen revisions web") {
		t.Errorf("exit status %d: %v", statusOf(o.err), o.err)
	}
	select {
	case <-gone:
	case <-t.Context().Done():
	}
}
