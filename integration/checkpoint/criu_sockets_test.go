package checkpoint_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// socketCase is a container with a socket.
type socketCase struct {
	name, first string
	options     []string
	ready       string // a command that succeeds when the sockets are there
	refused     string // what the refusal says; "" if there is none
	works       string // a command that does when it is restored
}

// check makes a checkpoint of the container and restores it, or has it refused.
func (test socketCase) check(t *testing.T, e *harness.Env) {
	t.Helper()
	id := e.RunCounter(t, "counter", append(test.options, "-e", "FIRST="+test.first)...)
	defer e.Remove(t, id)
	succeeds(t, e, id, test.ready)
	before, from := e.State(t), e.Counted(t, id)
	out, err := e.Try(t, "baleen", "checkpoint", id, "sockets:1")
	if test.refused != "" {
		if err == nil || !strings.Contains(out, test.refused) || !strings.Contains(out, "--no-process") {
			t.Errorf("%v, and it prints\n%s", err, out)
		}
		e.Settled(t, before)
		e.CountsPast(t, id, e.Counted(t, id))
		succeeds(t, e, id, test.ready)
		return
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	e.Remove(t, id)
	again := e.Restore(t, "sockets:1")
	e.CountsPast(t, again, from)
	succeeds(t, e, again, test.works)
	e.Remove(t, again)
}

// TestProcessesWithSockets keeps containers whose processes have sockets: either
// they are restored with them, or that it is not possible is said, and they go on.
func TestProcessesWithSockets(t *testing.T) {
	harness.NeedCRIU(t)
	e := harness.Start(t, stack.Config{}, "busybox")
	dir := t.TempDir()
	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/log", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	streams, err := net.Listen("unix", dir+"/sock")
	if err != nil {
		t.Fatal(err)
	}
	defer streams.Close()
	go func() {
		for accepted := []net.Conn{}; ; { // none is closed while the test runs
			c, err := streams.Accept()
			if err != nil {
				return
			}
			accepted = append(accepted, c)
		}
	}()
	for _, test := range []socketCase{
		{
			name: "listening for TCP", first: "nc -ll -p 8080 -e echo hi &",
			ready: "netstat -tln | grep -q :8080", works: `[ "$(nc -w 5 $(hostname -i) 8080 < /dev/null)" = hi ]`,
		},
		{
			name: "connected by TCP", first: "sleep 1000 | nc -l -p 8080 > /dev/null & { sleep 1; sleep 1000 | nc 127.0.0.1 8080; } &",
			ready: "netstat -tn | grep -q ESTABLISHED", refused: "Connected TCP socket",
		},
		{
			name: "sending to the log of the host", first: "mkdir -p /var/spool/cron/crontabs; crond -f &",
			options: []string{"-v", dir + "/log:/dev/log"},
			ready:   "grep -q crond /proc/*/comm", refused: "Unix socket",
		},
		{
			name: "connected to a socket of the host", first: "/fstool connect /outside/sock &",
			options: []string{"-v", dir + ":/outside", "-v", harness.BuildFSTool(t) + ":/fstool"},
			ready:   "netstat -xn | grep -q CONNECTED", refused: "External socket",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.check(t, e)
		})
	}
}

// succeeds waits until a command in a container succeeds.
func succeeds(t *testing.T, e *harness.Env, id, command string) {
	t.Helper()
	harness.Eventually(t, command, func() error {
		if out, err := e.Try(t, "exec", id, "sh", "-c", command); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}
