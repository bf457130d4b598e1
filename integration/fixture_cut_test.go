package integration_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/fixture"
)

// cutVerb is an operation that is cut short.
type cutVerb struct {
	name, path string
	request    any
	running    bool // the container runs
}

var cutVerbs = []cutVerb{
	{"upgrade", "upgrade", api.UpgradeRequest{Image: "app:2"}, false},
	{"rollback", "rollback", api.RollbackRequest{Revision: 1}, false},
	{"move", "upgrade", api.UpgradeRequest{Image: "app:2", HealthTimeout: 1}, true},
}

// cut makes containers in which an operation waits for the answer to one of its
// calls to containerd that change something, every step-th, and kills dockerd
// then.
func (w *fixtureWriter) cut(t *testing.T, e *env, p *fault.Proxy, d *fixture.Daemon, step int) {
	release := make(chan struct{})
	var ended []chan error
	hold := func(c *fixture.Container, v cutVerb, at int) {
		held, done := make(chan struct{}), make(chan error, 1)
		p.Set(fault.Plan{Methods: killCalls, Nth: at, Do: func() { close(held); <-release }})
		go func() {
			_, err := e.move(t.Context(), v.of(c.Name), v.request)
			done <- err
		}()
		select {
		case <-held:
		case err := <-done:
			t.Fatalf("%s ended before call %d: %v", c.Name, at, err)
		}
		_, where := p.Clear()
		c.Cut.Where = fmt.Sprintf("call %d, %s", at, where)
		ended = append(ended, done)
	}
	first := len(d.Containers)
	var waiting []func()
	for _, v := range cutVerbs {
		calls, new := w.uncut(t, e, p, v)
		from, each := 2, step
		if v.running {
			from, each = calls/2, calls/4
		}
		for at := from; at < calls; at += each {
			name := fmt.Sprintf("%s%s-%d", strings.TrimSuffix(d.Containers[0].Name, "created"), v.name, at)
			w.toCut(t, e, name, v)
			i := len(d.Containers)
			c := fixture.Container{Name: name, State: e.stateOf(t, name), Cut: &fixture.Cut{Operation: v.name, New: &new}}
			if !v.running {
				c.Status = "exited"
			}
			d.Containers = append(d.Containers, c)
			waiting = append(waiting, func() { hold(&d.Containers[i], v, at) })
		}
	}
	for _, hold := range waiting {
		hold()
	}
	if err := e.KillDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(release)
	for i, done := range ended {
		if err := <-done; err == nil {
			t.Errorf("%s was completed", d.Containers[first+i].Name)
		}
	}
}

// uncut makes an operation, and returns the number of its calls to containerd that
// change something, and the state that it made.
func (w *fixtureWriter) uncut(t *testing.T, e *env, p *fault.Proxy, v cutVerb) (calls int, made fixture.State) {
	t.Helper()
	const name = "uncut"
	w.toCut(t, e, name, v)
	p.Set(fault.Plan{Methods: killCalls})
	e.moved(t, v.of(name), v.request)
	calls, _ = p.Clear()
	made = e.stateOf(t, name)
	e.visit(t, name, made.Revisions)
	e.docker(t, "rm", "-f", "-v", name)
	return calls, made
}

func (v cutVerb) of(container string) string {
	return version + "/containers/" + container + "/" + v.path
}

// toCut makes a container for an operation.
func (w *fixtureWriter) toCut(t *testing.T, e *env, name string, v cutVerb) {
	t.Helper()
	e.docker(t, "run", "-d", "--name", name, "-e", "OWNER=Queequeg", "app:1")
	w.change(t, e, name, v.name)
	if v.running {
		return
	}
	e.docker(t, "stop", name)
	if v.path == "rollback" {
		e.snapshot(t, name, "kept")
		e.docker(t, "start", name)
		e.docker(t, "exec", name, "sh", "-c", "echo since > /data/1; rm -r /data/sub")
		e.docker(t, "stop", name)
	}
}
