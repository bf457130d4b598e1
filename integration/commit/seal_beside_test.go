package commit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/integration/harness"
)

// sealedAtOnce commits a container twice at the same time, also while it is
// looked at.
func sealedAtOnce(t *testing.T, e *harness.Env, id string) {
	for round := 1; round <= 3; round++ {
		want := e.Must(t, "start", "-a", id)
		var all errgroup.Group
		var images [2]string
		for i := range images {
			all.Go(func() error {
				out, err := e.Try(t, "commit", id)
				if err != nil {
					t.Errorf("docker commit: %v: %s", err, out)
				}
				images[i] = out
				return nil
			})
		}
		all.Go(func() error {
			if out, err := e.Try(t, "diff", id); err != nil || !strings.Contains(out, "A /n") {
				t.Errorf("docker diff: %v: %s", err, out)
			}
			return nil
		})
		_ = all.Wait() // each has told what failed
		for _, image := range images {
			if got := looks(t, e, image); got != want {
				t.Errorf("round %d: an image has\n%s\nand the container had\n%s", round, got, want)
			}
		}
	}
}

// sealedWhileStarting commits a container while it is started. The image is of
// some instant: of what was before all is in it.
func sealedWhileStarting(t *testing.T, e *harness.Env, id string) {
	e.Must(t, "start", "-a", id)
	for round := 2; round <= 5; round++ {
		var both errgroup.Group
		var image, printed string
		both.Go(func() error {
			var err error
			if image, err = e.Try(t, "commit", id); err != nil {
				t.Errorf("docker commit: %v: %s", err, image)
			}
			return nil
		})
		both.Go(func() error {
			var err error
			if printed, err = e.Try(t, "start", "-a", id); err != nil || !strings.Contains(printed, "data/large") {
				t.Errorf("docker start: %v: %s", err, printed)
			}
			return nil
		})
		_ = both.Wait() // each has told what failed
		if got := e.Must(t, "run", "--rm", "--network=none", image, "cat", "/n"); got != fmt.Sprint(round-1) && got != fmt.Sprint(round) {
			t.Errorf("round %d: the image is of change %s", round, got)
		}
		if got := looks(t, e, e.Must(t, "commit", id)); got != printed {
			t.Errorf("round %d: the container printed\n%s\nand then its image has\n%s", round, printed, got)
		}
	}
}

// sealedWhileRemoved removes containers while they are committed: that fails, or
// the image is what the container was.
func sealedWhileRemoved(t *testing.T, e *harness.Env, _ string) {
	for i := range 5 {
		id := e.Must(t, "create", "--network=none", "busybox", "sh", "-ec", sparingChange+"\n"+sparingLook)
		want := e.Must(t, "start", "-a", id)
		var both errgroup.Group
		var image string
		var failure error
		both.Go(func() error { image, failure = e.Try(t, "commit", id); return nil })
		both.Go(func() error {
			time.Sleep(time.Duration(i) * 50 * time.Millisecond)
			if out, err := e.Try(t, "rm", id); err != nil {
				t.Errorf("docker rm: %v: %s", err, out)
			}
			return nil
		})
		_ = both.Wait() // each has told what failed
		if failure != nil {
			t.Logf("docker commit: %s", image)
		} else if got := looks(t, e, image); got != want {
			t.Errorf("an image has\n%s\nand the container had\n%s", got, want)
		}
	}
}

// sealedManyTimes commits a container more often than it may have layers: what it
// has overwritten goes.
func sealedManyTimes(t *testing.T, e *harness.Env, _ string) {
	id := e.Must(t, "create", "--network=none", "busybox", "sh", "-ec",
		`n=$(($(cat /n 2>/dev/null || echo 0) + 1)); echo $n > /n; yes $n | head -c 17m > /again; md5sum /again /n`)
	defer e.Remove(t, id)
	var want string
	most := 0
	for range 18 {
		want = e.Must(t, "start", "-a", id)
		e.Must(t, "rmi", "-f", e.Must(t, "commit", id))
		layers := 0
		for _, name := range e.State(t).Snapshots {
			if strings.HasPrefix(name, id+".") {
				layers++
			}
		}
		most = max(most, layers)
	}
	t.Logf("it had %d sealed layers at most", most)
	if most < 10 || most > 16 {
		t.Errorf("the container had %d sealed layers at most", most)
	}
	if got := e.Must(t, "run", "--rm", "--network=none", e.Must(t, "commit", id), "md5sum", "/again", "/n"); got != want {
		t.Errorf("the image has\n%s\nand the container had\n%s", got, want)
	}
	e.Remove(t, id)
}
