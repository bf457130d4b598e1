package commit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	containerimages "github.com/containerd/containerd/v2/core/images"
	"github.com/docker/docker/client"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// apiClient is a client of the daemon's API: it asks more often than a command can.
func apiClient(t *testing.T, e *harness.Env) *client.Client {
	t.Helper()
	c, err := client.NewClientWithOpts(client.WithHost(e.Host()), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// poll inspects an image again and again until stop is called, which returns how
// often that went well and what errors there were.
func poll(t *testing.T, c *client.Client, name string) (stop func() (int, []error)) {
	ctx, cancel := context.WithCancel(t.Context())
	var good int
	var bad []error
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_, err := c.ImageInspect(ctx, name)
			switch {
			case err == nil:
				good++
			case !errors.Is(err, context.Canceled):
				bad = append(bad, err)
			}
		}
	}()
	return func() (int, []error) {
		cancel()
		<-done
		return good, bad
	}
}

// TestCommitsToOneTag commits, tags and imports to one name, several at a time.
// None fails, the name is there at every moment, and each image that it stood for
// keeps a record: dangling, but for the last.
func TestCommitsToOneTag(t *testing.T) {
	const workers, rounds = 4, 6
	e := harness.Start(t, stack.Config{}, "busybox")
	c := apiClient(t, e)
	id := e.Run(t, "busybox", "echo x > /x")
	ids := []string{e.Must(t, "commit", id, "same")}
	stop := poll(t, c, "same")
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			for n := range rounds {
				out, err := e.Try(t, "commit", "-m", fmt.Sprint(w, n), id, "same")
				mu.Lock()
				ids = append(ids, out)
				mu.Unlock()
				if err != nil {
					t.Errorf("commit %d of worker %d: %v\n%s", n, w, err, out)
				}
			}
		}()
	}
	all.Wait()
	if good, gaps := stop(); len(gaps) > 0 || good == 0 {
		t.Errorf("%d inspections found the image, %d did not: %v", good, len(gaps), errors.Join(gaps...))
	}
	onlyNamed(t, e, "same", ids)
}

// onlyNamed checks that all images are there, one of them by the name and all
// others dangling.
func onlyNamed(t *testing.T, e *harness.Env, name string, ids []string) {
	t.Helper()
	records, err := e.Client.ImageService().List(e.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	var last string
	var got, want []string
	for _, r := range records {
		got = append(got, r.Name+" "+r.Target.Digest.String())
		if r.Name == "docker.io/library/"+name+":latest" {
			last = r.Target.Digest.String()
		}
	}
	for _, id := range ids {
		record := "moby-dangling@" + id + " " + id
		if id == last {
			record = "docker.io/library/" + name + ":latest " + id
		}
		want = append(want, record)
	}
	got = slices.DeleteFunc(got, func(r string) bool { return strings.HasPrefix(r, "docker.io/library/busybox:") })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the records of images are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestTagIsNeverMissing gives a name from image to image by each verb that gives
// names, while it is inspected.
func TestTagIsNeverMissing(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	c := apiClient(t, e)
	id := e.Run(t, "busybox", "echo x > /x")
	archive := t.TempDir() + "/rootfs.tar"
	e.Must(t, "export", "-o", archive, id)
	first := e.Must(t, "commit", id, "same")
	verbs := map[string]func(n int) string{
		"commit": func(n int) string { return e.Must(t, "commit", "-m", fmt.Sprint(n), id, "same") },
		"tag": func(n int) string {
			made := e.Must(t, "commit", "-m", fmt.Sprint(n), id)
			e.Must(t, "tag", made, "same")
			return made
		},
		"import": func(n int) string { return e.Must(t, "import", "-m", fmt.Sprint(n), archive, "same") },
		"build": func(n int) string {
			out, err := e.Build(t, fmt.Sprintf("FROM busybox\nLABEL n=%d\n", n), "-q", "-t", "same")
			if err != nil {
				t.Fatal(err, out)
			}
			lines := strings.Fields(out)
			return lines[len(lines)-1]
		},
	}
	before := first
	for verb, put := range verbs {
		t.Run(verb, func(t *testing.T) {
			stop := poll(t, c, "same")
			for n := range 4 {
				made := put(n)
				if now := e.Inspect(t, "same", "{{.Id}}"); now != made {
					t.Errorf("the name stands for %s and not for %s", now, made)
				}
				if tags := e.Inspect(t, before, "{{.RepoTags}}"); tags != "[]" {
					t.Errorf("the image of before has the names %s", tags)
				}
				before = made
			}
			if good, gaps := stop(); len(gaps) > 0 || good == 0 {
				t.Errorf("%d inspections found the image, %d did not: %v", good, len(gaps), errors.Join(gaps...))
			}
		})
	}
}

// TestReplacedTagIsNew checks that a filter by time goes by when an image got the
// name, and not by when the name was first used: `docker image prune -a` would
// remove the image.
func TestReplacedTagIsNew(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", "echo x > /x")
	e.Must(t, "commit", id, "same")
	between := time.Now()
	e.Must(t, "commit", id, "same")
	until := fmt.Sprintf("until=%d.%09d", between.Unix(), between.Nanosecond())
	if found := e.Must(t, "images", "--filter", until, "--format", "{{.Repository}}"); !strings.Contains(found, "busybox") || strings.Contains(found, "same") {
		t.Errorf("images of before: %q, want busybox alone", found)
	}
}

// TestTagFailsCleanly fails every call that moving a name makes, one at a time: the
// name stands for the image of before or for the new one, and both have a record.
func TestTagFailsCleanly(t *testing.T) {
	e, p := harness.StartFaulty(t, "busybox")
	id := e.Run(t, "busybox", "echo x > /x")
	one, two := e.Must(t, "commit", "-m", "1", id), e.Must(t, "commit", "-m", "2", id)
	e.Must(t, "tag", one, "same")
	before := e.State(t)
	harness.EachCallOf(t, p, []string{"images.v1"}, func() (string, error) { return e.Try(t, "tag", two, "same") }, func(failed, out string, err error) {
		if err != nil && !strings.Contains(out, "was made to fail") {
			t.Errorf("%s failed, and the message is %q", failed, out)
		}
		if err != nil {
			e.SettledBut(t, failed, before)
			return
		}
		if now := e.Inspect(t, "same", "{{.Id}}"); now != two {
			t.Errorf("%s failed, and the name stands for %s", failed, now)
		}
		e.Must(t, "tag", one, "same")
		e.SettledBut(t, failed, before)
	})
	onlyNamed(t, e, "same", []string{one, two})
}

// TestKilledTag kills dockerd before every call that moving a name makes.
func TestKilledTag(t *testing.T) {
	e, p := harness.StartFaulty(t, "busybox")
	id := e.Run(t, "busybox", "echo x > /x")
	images := []string{e.Must(t, "commit", "-m", "1", id), e.Must(t, "commit", "-m", "2", id)}
	e.Must(t, "tag", images[0], "same")
	for n := 1; ; n++ {
		where, _ := e.KillIn(t, p, stack.Dockerd, n, "tag", images[1], "same")
		hasAll(t, e, where, images)
		if where == "" {
			break
		}
		e.Must(t, "tag", images[0], "same")
	}
	onlyNamed(t, e, "same", images)
}

// hasAll checks that each image has a record, and that there is one of the name.
func hasAll(t *testing.T, e *harness.Env, when string, images []string) {
	t.Helper()
	records, err := e.Client.ImageService().List(e.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range images {
		if !slices.ContainsFunc(records, func(r containerimages.Image) bool { return r.Target.Digest.String() == id }) {
			t.Errorf("killed at %s, and image %s has no record", when, id)
		}
	}
	if !slices.ContainsFunc(records, func(r containerimages.Image) bool { return r.Name == "docker.io/library/same:latest" }) {
		t.Errorf("killed at %s, and the name is gone", when)
	}
}
