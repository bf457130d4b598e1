package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/fault"
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

var killVerbs = []killVerb{
	{"upgrade", false, false, "upgrade", api.UpgradeRequest{Image: "app:2"}, 2},
	{"rollback", false, true, "rollback", api.RollbackRequest{}, 1},
	{"carry", false, true, "rollback", api.RollbackRequest{Carry: true}, 2},
	{"snapshot", false, false, "snapshot", api.SnapshotRequest{}, 1},
	{"upgrade of a running one", true, false, "upgrade", api.UpgradeRequest{Image: "app:2", HealthTimeout: 1}, 2},
	{"rollback of a running one", true, true, "rollback", api.RollbackRequest{}, 1},
	{"snapshot of a running one", true, false, "snapshot", api.SnapshotRequest{}, 1},
}

// killCalls are those that change something in containerd.
var killCalls = []string{
	"Snapshots/Prepare", "Snapshots/View", "Snapshots/Commit", "Snapshots/Remove", "Snapshots/Update",
	"Leases/Create", "Leases/Delete", "Leases/AddResource", "Leases/DeleteResource",
	"Content/Write", "Content/Update", "Content/Delete", "Content/Abort",
	"Images/Create", "Images/Update", "Images/Delete",
	"Containers/Create", "Containers/Update", "Containers/Delete",
	"Tasks/Create", "Tasks/Start", "Tasks/Kill", "Tasks/Delete", "Tasks/Pause", "Tasks/Resume",
}

const (
	// killChanges is what a container changes when it is started first.
	killChanges = `[ -e /data/mine ] || { for i in $(seq 200); do echo $i > /data/$i; done; dd if=/dev/zero of=/data/big bs=64k count=64 2>/dev/null
		echo mine > /app/conf; rm /app/gone; touch /data/mine; }; `
	// killLook tells what a container is from inside: image, environment and
	// all files.
	killLook = `cd /; cat /version; tr '\0' '\n' < /proc/1/environ | grep FROM_IMAGE
		all() { find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path './etc/host*' -o -path ./etc/resolv.conf -o -path ./etc/mtab -o -path ./.dockerenv \) -prune -o "$@" -print0 | sort -z; }
		all -name '*' | xargs -0 stat -c '%n %f %u %g' | md5sum; all -type f -size -200k | xargs -0 md5sum | md5sum`
	killLoop = `; trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done`
)

// killer kills daemons in the middle of operations.
type killer struct {
	*env
	proxy  *fault.Proxy
	random *rand.Rand
	before state
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
	e, p := newFaultEnvWith(t, stack.Config{DaemonConfig: config}, "busybox")
	for _, n := range []string{"1", "2", "3"} {
		e.app(t, "app:"+n, "ENV FROM_IMAGE="+n+"\nRUN mkdir /app && echo "+n+" > /app/conf && echo "+n+" > /app/gone && touch /app/only"+n+"\n")
	}
	e.docker(t, "image", "prune", "-f")
	k := &killer{env: e, proxy: p, random: random, old: map[string]string{}, next: map[string]string{}, calls: map[string]int{}, lasts: map[string]time.Duration{}, became: map[string]int{}}
	k.docker(t, "rm", k.make(t, "create", "app:3")) // the image is unpacked then
	k.before = k.rest(t)
	return k
}

// make makes a container. Before its id there is a warning that there is no
// network.
func (k *killer) make(t *testing.T, args ...string) (id string) {
	t.Helper()
	out := k.docker(t, args...)
	return out[strings.LastIndexByte(out, '\n')+1:]
}

// create makes a container for an operation.
func (k *killer) create(t *testing.T, v killVerb) (id string) {
	t.Helper()
	if v.running {
		id = k.make(t, "run", "-d", "app:1", "sh", "-c", killChanges+killLook+killLoop)
		k.eventually(t, "the container to be ready", func() error {
			if logs := k.docker(t, "logs", id); !strings.HasSuffix(logs, "ready") {
				return fmt.Errorf("so far it printed %q", logs)
			}
			return nil
		})
	} else {
		id = k.make(t, "create", "app:1", "sh", "-c", killChanges+killLook)
		k.docker(t, "start", "-a", id)
	}
	if v.upgraded {
		k.upgrade(t, id, api.UpgradeRequest{Image: "app:2", HealthTimeout: 1})
		if !v.running {
			k.docker(t, "start", "-a", id)
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
	defer k.remove(t, id)
	k.old[v.name] = k.whole(t, id)
	k.proxy.Set(fault.Plan{Methods: killCalls})
	began := time.Now()
	_, err := k.operate(t.Context(), id, v)
	k.lasts[v.name] = time.Since(began)
	k.calls[v.name], _ = k.proxy.Clear()
	if err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	k.next[v.name] = k.whole(t, id)
	if isNew := k.old[v.name] != k.next[v.name]; isNew != (v.path != "snapshot") {
		t.Fatalf("%s made of\n%s\nthis:\n%s", v.name, k.old[v.name], k.next[v.name])
	}
	t.Logf("%s makes %d calls that change something", v.name, k.calls[v.name])
}

// operate makes the operation; taken is why an upgrade was taken back.
func (k *killer) operate(ctx context.Context, id string, v killVerb) (taken string, _ error) {
	path := version + "/containers/" + id + "/" + v.path
	if v.path != "snapshot" {
		list, err := k.move(ctx, path, v.request)
		if err != nil {
			return "", err
		}
		return list[len(list)-1].Result.RolledBack, nil
	}
	text, err := json.Marshal(v.request)
	if err != nil {
		return "", err
	}
	resp, err := k.open(ctx, http.MethodPost, path, string(text))
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

// whole tells what a container is from all sides. One that does not run is
// started.
func (e *env) whole(t *testing.T, id string) string {
	t.Helper()
	said := e.inspect(t, id, "{{.Image}} {{.Config.Image}} {{json .Config.Env}} {{json .Config.Cmd}} {{json .ImageManifestDescriptor}}")
	copied := e.docker(t, "cp", id+":/version", "-")
	var looks string
	switch stays := strings.Contains(said, "echo ready"); {
	case !stays:
		looks = e.docker(t, "start", "-a", id)
	case e.inspect(t, id, "{{.State.Running}}") != "true":
		e.eventually(t, "the container to start", func() error {
			// After a start that was cut containerd may still be cleaning up.
			out, err := e.try(t, "start", id)
			if err != nil {
				t.Logf("docker start: %s", out)
			}
			return err
		})
		fallthrough
	default:
		looks = e.look(t, id)
	}
	name, _, _ := strings.Cut(looks, "\n")
	if !strings.Contains(copied, name) {
		t.Errorf("docker cp of /version gave %q, and inside it is %s", copied, name)
	}
	return said + "\n" + looks
}

// look tells what a running container is from inside. In one that containerd was
// starting when it was killed no command can be run, and a restart does not help,
// on stock neither: then it is stopped, and an image of it is looked at.
func (e *env) look(t *testing.T, id string) string {
	t.Helper()
	out, err := e.try(t, "exec", id, "sh", "-c", killLook)
	if err == nil {
		return out
	}
	if !strings.Contains(out, "fork/exec /proc/self/fd/") {
		t.Fatalf("docker exec: %v: %s", err, out)
	}
	t.Logf("the container was half started: docker exec: %s", out)
	e.docker(t, "kill", id)
	image := e.docker(t, "commit", id)
	out = e.docker(t, "run", "--rm", "--network=none", image, "sh", "-c", killLook)
	e.docker(t, "rmi", image)
	e.docker(t, "start", id)
	return out
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
		k.proxy.Set(fault.Plan{Methods: killCalls, Nth: p.n, After: p.after, Do: do})
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
	start := k.StartDockerd
	if p.daemon == stack.Containerd {
		start = k.StartContainerd
		time.Sleep(p.away)
	}
	if err := start(t.Context()); err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	<-done
	_, where = k.proxy.Clear()
	k.eventually(t, "dockerd to answer", func() error {
		_, err := k.try(t, "images")
		return err
	})
	if failed != nil {
		t.Logf("%v %s: %v", p, where, failed)
	}
	if p.daemon == stack.Containerd {
		k.eventually(t, "containerd to have tidied up", func() error {
			// What it had half made when it was killed keeps it from making
			// snapshots until it has collected garbage.
			out, err := k.try(t, "create", "--name", "tidy", "app:3")
			if err == nil {
				out, err = k.try(t, "rm", "tidy")
			}
			if err != nil {
				return errors.New(out)
			}
			return nil
		})
	}
	return where, true, failed == nil && taken == ""
}

// round kills once, and looks what became of the container. It returns false if
// the operation makes fewer calls.
func (k *killer) round(t *testing.T, p killPoint) bool {
	t.Helper()
	k.learn(t, p.verb)
	id := k.create(t, p.verb)
	defer k.remove(t, id)
	had := len(k.revisions(t, id))
	where, fired, sure := k.kill(t, id, p)
	if !fired {
		return false
	}
	failed := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%v %s: %s", p, where, fmt.Sprintf(format, args...))
	}
	k.eventually(t, fmt.Sprintf("the container to be at rest: %v %s", p, where), func() error {
		if status := k.inspect(t, id, "{{.State.Status}}"); status != "running" && status != "exited" && status != "created" {
			return errors.New("it is " + status)
		}
		return nil
	})
	is, old, next := k.whole(t, id), k.old[p.verb.name], k.next[p.verb.name]
	made := len(k.revisions(t, id)) - had
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
	k.eventually(t, fmt.Sprintf("the container to be sane: %v %s", p, where), func() error { return k.sane(t, id) })
	k.goesOn(t, id, is, failed)
	k.docker(t, "rm", "-f", "-v", id)
	k.eventually(t, fmt.Sprintf("all to go: %v %s", p, where), func() error {
		return k.before.compare(withoutStarts(k.state(t)))
	})
	return true
}

// withoutStarts leaves out the leases of Moby's own starts: of one that was cut
// short it lasts a day.
func withoutStarts(s state) state {
	s.leases = slices.DeleteFunc(s.leases, func(l string) bool {
		id, labels, _ := strings.Cut(l, " ")
		return buildkitLease.MatchString(id) && strings.HasPrefix(labels, "map[containerd.io/gc.expire:") && !strings.Contains(labels, " ")
	})
	return s
}

// sane checks the revisions of a container, that there are no other snapshots of it,
// and that nothing else is wrong.
func (k *killer) sane(t *testing.T, id string) error {
	t.Helper()
	known := map[string]bool{id: true, id + "-init": true}
	last, current := 0, 0
	for _, r := range k.revisions(t, id) {
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
	err := k.client.SnapshotService(snapshotter).Walk(k.ctx(t), func(_ context.Context, i snapshots.Info) error {
		if strings.HasPrefix(i.Name, id) && !known[i.Name] {
			return fmt.Errorf("snapshot %s is left", i.Name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return k.inconsistent(t)
}

// goesOn upgrades the container and takes it back.
func (k *killer) goesOn(t *testing.T, id, is string, failed func(string, ...any)) {
	t.Helper()
	_, _ = k.try(t, "kill", id) // if it runs
	k.eventually(t, "the container to end", func() error {
		if k.inspect(t, id, "{{.State.Running}}") != "false" {
			return errors.New("it runs")
		}
		return nil
	})
	k.upgrade(t, id, api.UpgradeRequest{Image: "app:3"})
	if now := k.inspect(t, id, "{{.Config.Env}}") + k.docker(t, "cp", id+":/version", "-"); !strings.Contains(now, "FROM_IMAGE=3") || !strings.Contains(now, "app:3\n") {
		failed("after a further upgrade it is\n%q", now)
	}
	k.rollback(t, id, api.RollbackRequest{})
	if now := k.whole(t, id); now != is {
		failed("after a further upgrade and rollback it is\n%s\nit was\n%s", now, is)
	}
}

// seeded returns numbers by chance, and tells by which.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func (k *killer) away() time.Duration { return time.Duration(k.random.IntN(800)) * time.Millisecond }

// TestKilledAtEachCall kills a daemon at each call to containerd by which an
// upgrade or a rollback of a stopped container changes something, and at some,
// by chance, of other operations. With BALEEN_KILL_ALL set it does so at all
// calls of all, before and after, with either daemon.
//
// Afterwards the container is wholly the old or wholly the new: its files, its
// record and its revisions. It starts, and can be moved again; and when it is
// removed nothing is left.
func TestKilledAtEachCall(t *testing.T) {
	all := killAll()
	k := newKiller(t, false, seeded(t))
	rounds := 0
	for _, v := range killVerbs {
		if !all && v.name != "upgrade" && v.name != "rollback" {
			continue
		}
		for _, daemon := range []stack.Daemon{stack.Dockerd, stack.Containerd} {
			for _, when := range []string{"before", "after"} {
				if !all && (when == "after" || daemon == stack.Containerd) {
					continue
				}
				t.Run(fmt.Sprintf("%s, %s %s", v.name, daemon, when), func(t *testing.T) {
					rounds += k.eachCall(t, killPoint{verb: v, daemon: daemon, after: when == "after"})
				})
			}
		}
	}
	t.Logf("%d kills: %v", rounds, k.became)
}

// eachCall kills at one call after the other, and returns how many there are.
func (k *killer) eachCall(t *testing.T, p killPoint) (n int) {
	t.Helper()
	for n = 1; n <= mostCalls; n++ {
		if p.n, p.away = n, k.away(); !k.round(t, p) {
			break
		}
	}
	if n == 1 || n > mostCalls {
		t.Errorf("%s makes %d calls", p.verb.name, n-1)
	}
	return n - 1
}

// TestKilledMoves does the same at calls chosen by chance, and at random
// instants, with containers that live on when dockerd ends, as often as
// BALEEN_KILL_ROUNDS says. Not by default: containerd, killed while it starts a
// container, can leave one half started that dockerd takes for a running one.
func TestKilledMoves(t *testing.T) {
	if os.Getenv("BALEEN_KILL_ROUNDS") == "" {
		t.Skip("kills at random instants are made if BALEEN_KILL_ROUNDS has their number; TestKilledAtEachCall kills at each call")
	}
	rounds := killRounds(t)
	k := newKiller(t, true, seeded(t))
	for range rounds {
		v := killVerbs[k.random.IntN(len(killVerbs))]
		t.Run(v.name, func(t *testing.T) {
			k.learn(t, v)
			k.round(t, k.somewhere(v))
		})
	}
	t.Logf("%d kills: %v", rounds, k.became)
}

// somewhere is a point of a verb by chance: every third time at a call, and
// otherwise at any instant.
func (k *killer) somewhere(v killVerb) killPoint {
	p := killPoint{verb: v, daemon: stack.Dockerd, after: k.random.IntN(2) == 0, away: k.away()}
	if k.random.IntN(2) == 0 {
		p.daemon = stack.Containerd
	}
	if k.random.IntN(3) == 0 {
		p.n = 1 + k.random.IntN(k.calls[v.name])
	} else {
		p.wait = time.Duration(k.random.Int64N(int64(k.lasts[v.name] * 5 / 4)))
	}
	return p
}
