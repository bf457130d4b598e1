package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// request asks the init to do something with the daemon Name.
type request struct {
	Op   string
	Name Daemon

	// For opSpawn. Log gets the daemon's standard output and error.
	Argv []string `json:",omitempty"`
	Env  []string `json:",omitempty"`
	Log  string   `json:",omitempty"`

	// For opSignal.
	Signal syscall.Signal `json:",omitempty"`
}

const (
	// opSpawn starts a daemon that is not running.
	opSpawn = "spawn"
	// opSignal sends a signal to a running one.
	opSignal = "signal"
	// opWait answers when the daemon has ended, with how.
	opWait = "wait"
	// opStatus answers at once.
	opStatus = "status"
)

// response answers a request.
type response struct {
	Error string `json:",omitempty"`
	// Running with process ID PID, in the stack's PID namespace.
	Running bool
	PID     int
	// Ended says how the daemon ended, if it ever ran.
	Ended string `json:",omitempty"`
}

// supervisor starts daemons, reaps every child of the init, and answers
// requests.
type supervisor struct {
	mu      sync.Mutex
	daemons map[Daemon]*child
}

// child is a daemon that was started. How it ended may be read when done is
// closed.
type child struct {
	pid   int
	done  chan struct{}
	ended string
}

func (c *child) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

func newSupervisor() *supervisor {
	return &supervisor{daemons: map[Daemon]*child{}}
}

// serve answers requests, any number on each connection, until the process
// ends.
func (s *supervisor) serve(listener net.Listener) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	go func() {
		for range ended {
			s.reap()
		}
	}()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("accept request: %w", err)
		}
		go s.answer(conn)
	}
}

func (s *supervisor) answer(conn net.Conn) {
	defer conn.Close()
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var req request
		if in.Decode(&req) != nil {
			return // the other side is done
		}
		resp, err := s.handle(req)
		if err != nil {
			resp.Error = err.Error()
		}
		if out.Encode(resp) != nil {
			return
		}
	}
}

func (s *supervisor) handle(req request) (response, error) {
	switch req.Op {
	case opSpawn:
		return s.spawn(req)
	case opSignal:
		return s.signal(req)
	case opWait:
		if c := s.find(req.Name); c != nil {
			<-c.done
		}
		return s.status(req.Name), nil
	case opStatus:
		return s.status(req.Name), nil
	}
	return response{}, fmt.Errorf("unknown request %q", req.Op)
}

func (s *supervisor) find(name Daemon) *child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.daemons[name]
}

func (s *supervisor) status(name Daemon) response {
	c := s.find(name)
	switch {
	case c == nil:
		return response{}
	case c.running():
		return response{Running: true, PID: c.pid}
	}
	return response{Ended: c.ended}
}

func (s *supervisor) spawn(req request) (response, error) {
	if len(req.Argv) == 0 {
		return response{}, errors.New("nothing to start")
	}
	// Held until the child is known, so that reap does not come first.
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.daemons[req.Name]; c != nil && c.running() {
		return response{}, fmt.Errorf("%s is running already", req.Name)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return response{}, fmt.Errorf("start %s: %w", req.Name, err)
	}
	defer null.Close()
	log, err := os.OpenFile(req.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return response{}, fmt.Errorf("start %s: %w", req.Name, err)
	}
	defer log.Close()
	// Not os/exec, which would wait for the process itself.
	pid, err := syscall.ForkExec(req.Argv[0], req.Argv, &syscall.ProcAttr{
		Dir:   "/",
		Env:   req.Env,
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return response{}, fmt.Errorf("start %s: %w", req.Argv[0], err)
	}
	s.daemons[req.Name] = &child{pid: pid, done: make(chan struct{})}
	return response{Running: true, PID: pid}, nil
}

// signal does not reach a process that took over the number of one that ended:
// that is reaped under the same lock.
func (s *supervisor) signal(req request) (response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.daemons[req.Name]
	if c == nil || !c.running() {
		return response{}, fmt.Errorf("%s is not running", req.Name)
	}
	if err := unix.Kill(c.pid, req.Signal); err != nil {
		return response{}, fmt.Errorf("signal %s: %w", req.Name, err)
	}
	return response{Running: true, PID: c.pid}, nil
}

// reap collects all children that have ended: daemons, and what they orphaned.
func (s *supervisor) reap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid == 0 {
			return
		}
		for _, c := range s.daemons {
			if c.pid == pid && c.running() {
				c.ended = describe(status)
				close(c.done)
			}
		}
	}
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return "killed by " + unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}
