package harness

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"

	"github.com/baleen-project/baleen/integration/stack"
)

// State is all that an operation could leave behind.
type State struct {
	Leases, Snapshots, Ingests, Images, Mounts, Paused []string
}

// BuildkitLease is one under which BuildKit collects its garbage, for an instant
// now and then.
var BuildkitLease = regexp.MustCompile(`^[0-9]+-.{4}$`)

// State lists what there is of each kind. Leases and snapshots of containers
// and of images are in it as well: compare two states.
func (e *Env) State(t *testing.T) State {
	t.Helper()
	ctx := e.Context(t)
	var s State
	leases, err := e.Client.LeasesService().List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		if len(l.Labels) == 0 && BuildkitLease.MatchString(l.ID) {
			continue
		}
		s.Leases = append(s.Leases, fmt.Sprint(l.ID, " ", l.Labels))
	}
	s.Snapshots = SnapshotNames(ctx, t, e.Client.SnapshotService(Snapshotter))
	ingests, err := e.Client.ContentStore().ListStatuses(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range ingests {
		s.Ingests = append(s.Ingests, i.Ref)
	}
	images, err := e.Client.ImageService().List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range images {
		s.Images = append(s.Images, i.Name+" "+i.Target.Digest.String())
	}
	s.Mounts = e.Mounts(t)
	if out := e.Must(t, "ps", "-q", "--no-trunc", "-f", "status=paused"); out != "" {
		s.Paused = strings.Split(out, "\n")
	}
	for _, list := range [][]string{s.Leases, s.Snapshots, s.Ingests, s.Images, s.Mounts, s.Paused} {
		slices.Sort(list)
	}
	return s
}

// Mounts lists the mount points below the stack's root.
func (e *Env) Mounts(t *testing.T) []string {
	t.Helper()
	var points []string
	for _, i := range e.MountInfo(t) {
		if strings.HasPrefix(i.Mountpoint, e.Root()+"/") {
			points = append(points, i.Mountpoint)
		}
	}
	return points
}

// MountInfo lists all mounts as the daemons see them.
func (e *Env) MountInfo(t *testing.T) []*mountinfo.Info {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", e.Pid(stack.Containerd)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	infos, err := mountinfo.GetMountsFromReader(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

// Settled waits until what there is differs from before by nothing. Garbage
// collection may take a moment.
func (e *Env) Settled(t *testing.T, before State) {
	t.Helper()
	Eventually(t, "the operation's leftovers to go", func() error {
		return before.Compare(e.State(t))
	})
}

// Compare returns an error that lists what one state has and the other lacks.
func (s State) Compare(after State) error {
	var diffs []string
	for _, kind := range []struct {
		name          string
		before, after []string
	}{
		{"lease", s.Leases, after.Leases},
		{"snapshot", s.Snapshots, after.Snapshots},
		{"ingest", s.Ingests, after.Ingests},
		{"image", s.Images, after.Images},
		{"mount", s.Mounts, after.Mounts},
		{"paused container", s.Paused, after.Paused},
	} {
		for _, x := range kind.after {
			if !slices.Contains(kind.before, x) {
				diffs = append(diffs, "new "+kind.name+" "+x)
			}
		}
		for _, x := range kind.before {
			if !slices.Contains(kind.after, x) {
				diffs = append(diffs, "lost "+kind.name+" "+x)
			}
		}
	}
	if len(diffs) == 0 {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(diffs, "\n"))
}

// LeftOnlyImages fails the test if there is more or less than before of anything but
// images and their snapshots.
func (e *Env) LeftOnlyImages(t *testing.T, before State) {
	t.Helper()
	after := e.State(t)
	before.Snapshots, before.Images, after.Snapshots, after.Images = nil, nil, nil, nil
	if err := before.Compare(after); err != nil {
		t.Error(err)
	}
}

// SettledBut is Settled with the failed call in the message, and but for what
// Moby keeps if it is a start's.
func (e *Env) SettledBut(t *testing.T, failed string, before State) {
	t.Helper()
	t.Run("after "+failed, func(t *testing.T) {
		Eventually(t, "the operation's leftovers to go", func() error {
			return before.Compare(WithoutStarts(e.State(t)))
		})
	})
}

// StateAtRest waits for a state that lasts. Soon after its start dockerd collects
// BuildKit's garbage, and for that has a lease for an instant. What a build has given up
// is collected before.
func (e *Env) StateAtRest(t *testing.T) State {
	t.Helper()
	e.CollectGarbage(t)
	s := e.State(t)
	Eventually(t, "a state that lasts", func() error {
		time.Sleep(500 * time.Millisecond)
		before := s
		s = e.State(t)
		return before.Compare(s)
	})
	return s
}

// WithoutStarts leaves out the leases of Moby's own starts: of one that was cut
// short it lasts a day.
func WithoutStarts(s State) State {
	s.Leases = slices.DeleteFunc(s.Leases, func(l string) bool {
		id, labels, _ := strings.Cut(l, " ")
		return BuildkitLease.MatchString(id) && strings.HasPrefix(labels, "map[containerd.io/gc.expire:") && !strings.Contains(labels, " ")
	})
	return s
}

// Consistent waits until docker baleen check finds nothing.
func (e *Env) Consistent(t *testing.T) {
	t.Helper()
	Eventually(t, "docker baleen check to find nothing", func() error { return e.Inconsistent(t) })
}

// Inconsistent returns what docker baleen check finds.
func (e *Env) Inconsistent(t *testing.T, options ...string) error {
	t.Helper()
	out, err := e.Try(t, append([]string{"baleen", "check"}, options...)...)
	if err != nil {
		return fmt.Errorf("docker baleen check: %w:\n%s", err, out)
	}
	return nil
}
