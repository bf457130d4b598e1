package kill_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// killVerb is an operation on revisions in the middle of which a daemon is
// killed.
type killVerb struct {
	name     string
	running  bool
	upgraded bool // the container has been upgraded to app:2 before
	path     string
	request  any
	made     int // revisions
}

// nothingWritten goes back from a state that a revision has already.
const nothingWritten = "rollback of one that wrote nothing"

var killVerbs = []killVerb{
	{"upgrade", false, false, "upgrade", api.UpgradeRequest{Image: "app:2"}, 2},
	{"rollback", false, true, "rollback", api.RollbackRequest{}, 1},
	{nothingWritten, false, true, "rollback", api.RollbackRequest{}, 0},
	{"carry", false, true, "rollback", api.RollbackRequest{Carry: true}, 2},
	{"snapshot", false, false, "snapshot", api.SnapshotRequest{}, 1},
	{"upgrade of a running one", true, false, "upgrade", api.UpgradeRequest{Image: "app:2", HealthTimeout: 1}, 2},
	{"rollback of a running one", true, true, "rollback", api.RollbackRequest{}, 1},
	{"snapshot of a running one", true, false, "snapshot", api.SnapshotRequest{}, 1},
}

// killChanges is what a container changes when it is started first.
// On every start it writes which image it runs on.
const killChanges = `echo $FROM_IMAGE > /data/image; [ -e /data/mine ] || { for i in $(seq 200); do echo $i > /data/$i; done; dd if=/dev/zero of=/data/big bs=64k count=64 2>/dev/null
		echo mine > /app/conf; rm /app/gone; touch /data/mine; }; `

// killer kills daemons in the middle of operations.
type killer struct {
	*harness.Env
	proxy  *fault.Proxy
	random *rand.Rand
	before harness.State
	// old and next are what a container is before and after an operation, by
	// its name.
	old, next map[string]string
	calls     map[string]int
	lasts     map[string]time.Duration
	became    map[string]int // how many containers stayed the old, or became the new
}

// newKiller starts a stack without networks: so dockerd starts faster.
func newKiller(t *testing.T, liveRestore bool, random *rand.Rand) *killer {
	t.Helper()
	config := map[string]any{"bridge": "none", "live-restore": liveRestore}
	e, p := harness.StartFaultyWith(t, stack.Config{DaemonConfig: config}, "busybox")
	for _, n := range []string{"1", "2", "3"} {
		e.BuildApp(t, "app:"+n, "ENV FROM_IMAGE="+n+"\nRUN mkdir /app && echo "+n+" > /app/conf && echo "+n+" > /app/gone && touch /app/only"+n+"\n")
	}
	e.Must(t, "image", "prune", "-f")
	k := &killer{Env: e, proxy: p, random: random, old: map[string]string{}, next: map[string]string{}, calls: map[string]int{}, lasts: map[string]time.Duration{}, became: map[string]int{}}
	k.Must(t, "rm", k.make(t, "create", "app:3")) // the image is unpacked then
	k.before = k.StateAtRest(t)
	return k
}

// make makes a container. Before its id there is a warning that there is no
// network.
func (k *killer) make(t *testing.T, args ...string) (id string) {
	t.Helper()
	out := k.Must(t, args...)
	return out[strings.LastIndexByte(out, '\n')+1:]
}

// create makes a container for an operation.
func (k *killer) create(t *testing.T, v killVerb) (id string) {
	t.Helper()
	if v.running {
		id = k.make(t, "run", "-d", "app:1", "sh", "-c", killChanges+harness.LookScript+harness.LoopScript)
		harness.Eventually(t, "the container to be ready", func() error {
			if logs := k.Must(t, "logs", id); !strings.HasSuffix(logs, "ready") {
				return fmt.Errorf("so far it printed %q", logs)
			}
			return nil
		})
	} else {
		id = k.make(t, "create", "app:1", "sh", "-c", killChanges+harness.LookScript)
		k.Must(t, "start", "-a", id)
	}
	if v.upgraded {
		k.Upgrade(t, id, api.UpgradeRequest{Image: "app:2", HealthTimeout: 1})
		if !v.running && v.name != nothingWritten {
			k.Must(t, "start", "-a", id)
		}
	}
	return id
}

// learn makes an operation without killing, and notes what a container is
// before and after.
func (k *killer) learn(t *testing.T, v killVerb) {
	t.Helper()
	if k.old[v.name] != "" {
		return
	}
	id := k.create(t, v)
	defer k.Remove(t, id)
	k.old[v.name] = k.DescribeWhole(t, id)
	k.proxy.Set(fault.Plan{Methods: harness.ChangingCalls})
	began := time.Now()
	_, err := k.operate(t.Context(), id, v)
	k.lasts[v.name] = time.Since(began)
	k.calls[v.name], _ = k.proxy.Clear()
	if err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	k.next[v.name] = k.DescribeWhole(t, id)
	if isNew := k.old[v.name] != k.next[v.name]; isNew != (v.path != "snapshot") {
		t.Fatalf("%s made of\n%s\nthis:\n%s", v.name, k.old[v.name], k.next[v.name])
	}
	t.Logf("%s makes %d calls that change something", v.name, k.calls[v.name])
}

// operate makes the operation; taken is why an upgrade was taken back.
func (k *killer) operate(ctx context.Context, id string, v killVerb) (taken string, _ error) {
	path := harness.APIVersion + "/containers/" + id + "/" + v.path
	if v.path != "snapshot" {
		list, err := k.Move(ctx, path, v.request)
		if err != nil {
			return "", err
		}
		return list[len(list)-1].Result.RolledBack, nil
	}
	text, err := json.Marshal(v.request)
	if err != nil {
		return "", err
	}
	resp, err := k.Open(ctx, http.MethodPost, path, string(text))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s: %d %s", path, resp.StatusCode, answer)
	}
	return "", err
}

// killPoint is the moment of a kill.
type killPoint struct {
	verb   killVerb
	daemon stack.Daemon
	n      int // the call
	after  bool
	wait   time.Duration // without a call: how long after the beginning
	away   time.Duration // how long containerd is away
}

func (p killPoint) String() string {
	at := fmt.Sprintf("after %s", p.wait)
	if p.n > 0 {
		at = map[bool]string{false: "before", true: "after"}[p.after] + fmt.Sprintf(" call %d", p.n)
	}
	return fmt.Sprintf("%s, %s killed %s", p.verb.name, p.daemon, at)
}

// kill makes an operation, and kills a daemon meanwhile and starts it again.
// fired is false if the operation makes fewer calls. sure tells that it said
// that it was done.
func (k *killer) kill(t *testing.T, id string, p killPoint) (where string, fired, sure bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	killed := make(chan error, 1)
	do := func() {
		if p.daemon == stack.Containerd {
			killed <- k.KillContainerd(ctx)
		} else {
			killed <- k.KillDockerd(ctx)
		}
	}
	if p.n > 0 {
		k.proxy.Set(fault.Plan{Methods: harness.ChangingCalls, Nth: p.n, After: p.after, Do: do})
	} else {
		time.AfterFunc(p.wait, do)
	}
	done := make(chan struct{})
	var taken string
	var failed error
	go func() {
		defer close(done)
		taken, failed = k.operate(ctx, id, p.verb)
	}()
	var err error
	select {
	case err = <-killed:
	case <-done:
		if p.n > 0 {
			if _, where = k.proxy.Clear(); where == "" {
				return "", false, failed == nil
			}
		}
		err = <-killed
	}
	if err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	k.startAgain(t, p)
	<-done
	_, where = k.proxy.Clear()
	k.answers(t, p)
	if failed != nil {
		t.Logf("%v %s: %v", p, where, failed)
	}
	return where, true, failed == nil && taken == ""
}

// startAgain starts the daemon that was killed.
func (k *killer) startAgain(t *testing.T, p killPoint) {
	t.Helper()
	start := k.StartDockerd
	if p.daemon == stack.Containerd {
		start = k.StartContainerd
		time.Sleep(p.away)
	}
	if err := start(t.Context()); err != nil {
		t.Fatalf("%v: %v", p, err)
	}
}

// answers waits until both daemons do what they are asked.
func (k *killer) answers(t *testing.T, p killPoint) {
	t.Helper()
	harness.Eventually(t, "dockerd to answer", func() error {
		_, err := k.Try(t, "images")
		return err
	})
	if p.daemon == stack.Containerd {
		harness.Eventually(t, "containerd to have tidied up", func() error {
			// What it had half made when it was killed keeps it from making
			// snapshots until it has collected garbage.
			out, err := k.Try(t, "create", "--name", "tidy", "app:3")
			if err == nil {
				out, err = k.Try(t, "rm", "tidy")
			}
			if err != nil {
				return errors.New(out)
			}
			return nil
		})
	}
}

// round kills once, and looks what became of the container. It returns false if
// the operation makes fewer calls.
func (k *killer) round(t *testing.T, p killPoint) bool {
	t.Helper()
	k.learn(t, p.verb)
	id := k.create(t, p.verb)
	defer k.Remove(t, id)
	had := len(k.Revisions(t, id))
	where, fired, sure := k.kill(t, id, p)
	if !fired {
		return false
	}
	failed := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%v %s: %s", p, where, fmt.Sprintf(format, args...))
	}
	harness.Eventually(t, fmt.Sprintf("the container to be at rest: %v %s", p, where), func() error {
		if status := k.Inspect(t, id, "{{.State.Status}}"); status != "running" && status != "exited" && status != "created" {
			return errors.New("it is " + status)
		}
		return nil
	})
	is, old, next := k.DescribeWhole(t, id), k.old[p.verb.name], k.next[p.verb.name]
	made := len(k.Revisions(t, id)) - had
	isNew := is == next && (next != old || made > 0)
	switch {
	case is != old && is != next:
		failed("the container is\n%s\nneither the old\n%s\nnor the new\n%s", is, old, next)
	case sure && !isNew:
		failed("it is the old, and was said to be done")
	case isNew && made != p.verb.made, !isNew && made != 0 && !p.verb.running:
		failed("new is %v, and %d revisions were made, not %d", isNew, made, p.verb.made)
	}
	k.became[map[bool]string{false: "old", true: "new"}[isNew]]++
	harness.Eventually(t, fmt.Sprintf("the container to be sane: %v %s", p, where), func() error { return k.sane(t, id) })
	k.goesOn(t, id, is, failed)
	k.Must(t, "rm", "-f", "-v", id)
	harness.Eventually(t, fmt.Sprintf("all to go: %v %s", p, where), func() error {
		return k.before.Compare(harness.WithoutStarts(k.State(t)))
	})
	return true
}

// sane checks the revisions of a container, that there are no other snapshots of it,
// and that nothing else is wrong.
func (k *killer) sane(t *testing.T, id string) error {
	t.Helper()
	known := map[string]bool{id: true, id + "-init": true}
	last, current := 0, 0
	for _, r := range k.Revisions(t, id) {
		key := fmt.Sprint(id, ".r", r.Number)
		known[key], known[key+"-init"] = true, r.Kind == api.KindUpgrade
		if r.Number <= last || r.Previous >= r.Number || r.Image == "" {
			return fmt.Errorf("there is revision %+v after %d", r, last)
		}
		if last = r.Number; r.Current {
			current++
		}
	}
	if current > 1 {
		return fmt.Errorf("%d revisions are current", current)
	}
	err := k.Client.SnapshotService(harness.Snapshotter).Walk(k.Context(t), func(_ context.Context, i snapshots.Info) error {
		if strings.HasPrefix(i.Name, id) && !known[i.Name] {
			return fmt.Errorf("snapshot %s is left", i.Name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return k.Inconsistent(t)
}

// goesOn upgrades the container and takes it back.
func (k *killer) goesOn(t *testing.T, id, is string, failed func(string, ...any)) {
	t.Helper()
	_, _ = k.Try(t, "kill", id) // if it runs
	harness.Eventually(t, "the container to end", func() error {
		if k.Inspect(t, id, "{{.State.Running}}") != "false" {
			return errors.New("it runs")
		}
		return nil
	})
	k.Upgrade(t, id, api.UpgradeRequest{Image: "app:3"})
	if now := k.Inspect(t, id, "{{.Config.Env}}") + k.Must(t, "cp", id+":/version", "-"); !strings.Contains(now, "FROM_IMAGE=3") || !strings.Contains(now, "app:3\n") {
		failed("after a further upgrade it is\n%q", now)
	}
	k.Rollback(t, id, api.RollbackRequest{})
	if now := k.DescribeWhole(t, id); now != is {
		failed("after a further upgrade and rollback it is\n%s\nit was\n%s", now, is)
	}
}

func (k *killer) away() time.Duration { return time.Duration(k.random.IntN(800)) * time.Millisecond }
