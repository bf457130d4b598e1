package checkpoint_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/harness"
)

// twice are two restores of one checkpoint at once: the first makes the record of
// the container's image, which the second finds.
type twice struct {
	name                  string
	makerFails, otherFail bool
	otherEndsFirst        bool
}

// TestRestoresShareAnImage: the record of an image that a restore has made stays
// for another restore of the same checkpoint, whichever of the two fails and
// whichever ends first. When both fail it goes.
func TestRestoresShareAnImage(t *testing.T) {
	e, p := harness.StartFaulty(t, "busybox")
	id := e.Run(t, "busybox", "echo x > /x", "--name", "web")
	e.Must(t, "baleen", "checkpoint", "--no-process", "web", "web:1")
	e.Remove(t, id)
	e.Must(t, "rmi", "busybox")
	e.CollectGarbage(t)
	before := e.StateAtRest(t)
	for _, test := range []twice{
		{"both end well", false, false, false},
		{"the one that made it fails first", true, false, false},
		{"the one that made it fails last", true, false, true},
		{"the other fails first", false, true, true},
		{"the other fails last", false, true, false},
		{"both fail", true, true, false},
		{"both fail the other way round", true, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			maker, other := restoreTwice(t, e, p, test)
			for name, made := range map[string]restoreOf{"maker": maker, "other": other} {
				if fails := name == "maker" && test.makerFails || name == "other" && test.otherFail; fails != (made.err != nil) {
					t.Fatalf("the restore of %s: %v, %s", name, made.err, made.out)
				}
				if made.err == nil {
					hasImage(t, e, name)
					e.Remove(t, name)
				}
			}
			if images := e.RestoredImages(t); (len(images) == 0) != (test.makerFails && test.otherFail) {
				t.Errorf("there are images %q", images)
			}
			e.RemoveRestoredImages(t)
			e.Settled(t, before)
		})
	}
}

// restoreOf is what a restore said.
type restoreOf struct {
	out string
	err error
}

// restoreTwice has both restores get as far as making the container's layer
// before either ends.
func restoreTwice(t *testing.T, e *harness.Env, p *fault.Proxy, test twice) (maker, other restoreOf) {
	restore := func(name string) restoreOf {
		out, err := e.Try(t, "baleen", "restore", "-q", "--create-only", "--name", name, "web:1")
		return restoreOf{out, err}
	}
	arrived, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	second := fault.Plan{Methods: []string{"Snapshots/Prepare"}, Nth: 1, Pass: !test.otherFail, Do: func() {
		close(arrived)
		<-release
	}}
	p.Set(fault.Plan{Methods: second.Methods, Nth: 1, Pass: !test.makerFails, Do: func() {
		p.Set(second)
		go func() {
			defer close(ended)
			other = restore("other")
		}()
		select {
		case <-arrived:
		case <-ended:
		}
		if test.otherEndsFirst {
			close(release)
			<-ended
		}
	}})
	maker = restore("maker")
	if !test.otherEndsFirst {
		close(release)
	}
	<-ended
	p.Clear()
	return maker, other
}

// hasImage fails the test if a restored container lacks its image.
func hasImage(t *testing.T, e *harness.Env, name string) {
	t.Helper()
	image := e.Inspect(t, name, "{{.Image}}")
	if out, err := e.Try(t, "image", "inspect", "-f", "{{.Id}}", image); err != nil || !strings.HasPrefix(out, image) {
		t.Errorf("the image %s of container %s: %v, %s", image, name, err, out)
	}
	e.Must(t, "rmi", e.Must(t, "commit", name))
}
