package power_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/harness"
)

// keptState is a state of a container that was committed as an image or kept as a
// revision. The name of the one and the message of the other tell which it is:
// the container's name and how often it has changed.
type keptState struct {
	container string
	n         int
	revision  bool
}

func (k keptState) name() string { return fmt.Sprintf("%s:%d", k.container, k.n) }

// String tells it from the other kind.
func (k keptState) String() string {
	if k.revision {
		return "revision " + k.name()
	}
	return "image " + k.name()
}

// parseKept is the state that a name tells of. It is 0 if the name is another's.
func parseKept(name string, revision bool) (k keptState) {
	container, n, _ := strings.Cut(name, ":")
	if _, err := fmt.Sscan(n, &k.n); err != nil || !slices.Contains(workers[:], container) {
		return keptState{}
	}
	return keptState{container, k.n, revision}
}

// What changes: a container that runs, one that is started for each change, and
// an image that is built on the last one of its name.
const (
	running = "running"
	resting = "resting"
	built   = "built"
)

var workers = [...]string{running, resting, built}

const (
	// changeFiles is how many files a change makes, the i-th of i*i*changeSize
	// bytes.
	changeFiles = 12
	changeSize  = 500
	// changesLeft is how many changes are seen in a state: older ones are
	// removed.
	changesLeft = 3
)

// changeScript makes the change $n.
var changeScript = fmt.Sprintf(`mkdir /change$n; for i in $(seq %d); do yes "$n $i" | head -c $((i * i * %d)) > /change$n/$i; done; rm -rf /change$((n - %d)); echo $n > /now`,
	changeFiles, changeSize, changesLeft)

// whole returns what of a state is not as it should be below root, of many things
// the first and how many.
func (k keptState) whole(root string) error {
	var errs []error
	for n := 0; n <= k.n; n++ {
		dir := filepath.Join(root, fmt.Sprint("change", n))
		if n == 0 || n <= k.n-changesLeft {
			if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, fmt.Errorf("change%d, which was removed: %w", n, err))
			}
			continue
		}
		for i := 1; i <= changeFiles; i++ {
			line := fmt.Sprintf("%d %d\n", n, i)
			size := i * i * changeSize
			errs = append(errs, holds(filepath.Join(dir, fmt.Sprint(i)), strings.Repeat(line, size/len(line)+1)[:size]))
		}
	}
	errs = append(errs, holds(filepath.Join(root, "now"), fmt.Sprintln(k.n)))
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%d things are not as they were, the first: %w", len(errs), errs[0])
}

func holds(path, text string) error {
	got, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("%s holds %d bytes %.20q, not %d bytes %.20q", path, len(got), got, len(text), text)
	}
	return nil
}

// worker changes containers and keeps their states.
type worker struct {
	*harness.Env
	random *rand.Rand
	states map[string]int
	moves  *moves

	mu  sync.Mutex
	all []keptState
	err error
}

func newWorker(t *testing.T, e *harness.Env, seed uint64) *worker {
	t.Helper()
	if err := e.LoadImages(t.Context(), "busybox"); err != nil {
		t.Fatal(err)
	}
	e.Must(t, "run", "-d", "--network", "none", "--name", running, "busybox", "sleep", "100000")
	e.Must(t, "create", "--network", "none", "--name", resting, "busybox", "sh", "-c", "n=$(cat /now 2>/dev/null || echo 0); n=$((n + 1)); "+changeScript)
	makeMoving(t, e)
	return &worker{Env: e, random: rand.New(rand.NewPCG(seed, 1)), states: map[string]int{}, moves: newMoves()}
}

// acknowledged is what has been kept so far.
func (w *worker) acknowledged() []keptState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.all)
}

// failure is why the work has ended early.
func (w *worker) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// work goes on until the context ends.
func (w *worker) work(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.next(ctx); err != nil {
			if ctx.Err() == nil {
				w.mu.Lock()
				w.err = err
				w.mu.Unlock()
			}
			return
		}
		time.Sleep(time.Duration(w.random.IntN(80)) * time.Millisecond)
	}
}

// next keeps a state of a container, or moves one.
func (w *worker) next(ctx context.Context) error {
	if w.random.IntN(3) == 0 {
		return w.moves.move(ctx, w.Env, w.random)
	}
	k := keptState{container: workers[w.random.IntN(5)/2]} // a build takes long
	k.revision = k.container != built && w.random.IntN(2) == 0
	w.states[k.container]++
	k.n = w.states[k.container]
	if err := w.act(ctx, k); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, k)
	return nil
}

// act makes a change and keeps what came of it.
func (w *worker) act(ctx context.Context, k keptState) error {
	if k.container == built {
		return w.build(ctx, k)
	}
	do := []string{"start", "-a", resting}
	if k.container == running {
		do = []string{"exec", running, "sh", "-c", fmt.Sprintf("n=%d; %s", k.n, changeScript)}
	}
	keep := []string{"commit", k.container, k.name()}
	if k.revision {
		keep = []string{"baleen", "snapshot", "-m", k.name(), k.container}
	}
	for _, args := range [][]string{do, keep} {
		if out, err := harness.Output(w.Docker(ctx, args...)); err != nil {
			return fmt.Errorf("docker %q: %w: %s", args, err, out)
		}
	}
	return nil
}

func (w *worker) build(ctx context.Context, k keptState) error {
	base := "busybox"
	if k.n > 1 {
		base = keptState{container: k.container, n: k.n - 1}.name()
	}
	cmd := w.Docker(ctx, "build", "--network", "none", "-t", k.name(), "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("FROM %s\nRUN n=%d; %s\n", base, k.n, changeScript))
	cmd.Env = append(cmd.Env, "DOCKER_BUILDKIT=0")
	if out, err := harness.Output(cmd); err != nil {
		return fmt.Errorf("docker build: %w: %s", err, out)
	}
	return nil
}
