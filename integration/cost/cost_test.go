package cost_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
	"github.com/baleen-project/baleen/integration/stack/baseimage"
)

// onlyForCost skips a test that measures times, which says little beside others.
func onlyForCost(t *testing.T) {
	t.Helper()
	if os.Getenv("BALEEN_COST") == "" {
		t.Skip("times are measured if BALEEN_COST is set: they are for a quiet machine")
	}
}

// TestDifferCost has stock dockerd commit containers of an image of many files, in
// turns with containerd's differ and with ours, in and beside containerd: one small
// change, and a tree of source code. Ours must be faster, with the small change at
// least twice: it took an eighth and a fifteenth.
func TestDifferCost(t *testing.T) {
	onlyForCost(t)
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src")
	for name, w := range map[string]struct {
		change func(t *testing.T, e *harness.Env, round int)
		least  float64
	}{
		"one small change": {func(t *testing.T, e *harness.Env, round int) {
			e.Must(t, "exec", "work", "sh", "-c", fmt.Sprintf("echo %d > /data/0000/000001", round))
		}, 2},
		"a tree of source code": {func(t *testing.T, e *harness.Env, round int) {
			e.Must(t, "exec", "work", "rm", "-rf", fmt.Sprint("/src", round-1))
			e.Must(t, "cp", source, fmt.Sprint("work:/src", round))
		}, 1},
	} {
		t.Run(name, func(t *testing.T) { differCost(t, w.change, w.least) })
	}
}

func differCost(t *testing.T, change func(t *testing.T, e *harness.Env, round int), least float64) {
	const walking, proxied, linked = "containerd's walking differ", "baleen-containerd", "linked with containerd"
	contestants := map[string]*harness.Env{}
	for name, c := range map[string]stack.Config{
		walking: {},
		proxied: {Proxy: true, DifferForAll: true},
		linked:  {ContainerdConfig: "[plugins.'io.containerd.service.v1.diff-service']\ndefault = ['baleen', 'walking']\n"},
	} {
		c.Flavor = stack.Stock
		e := harness.Start(t, c)
		image := baseimage.Generated{Name: "large", Base: "busybox:latest", Files: 25_000, Bytes: 32 << 20}
		if err := e.GenerateImage(t.Context(), image); err != nil {
			t.Fatal(err)
		}
		contestants[name] = e
		e.Run(t, "large", "true", "--name", "work")
	}
	times := map[string][]time.Duration{}
	for round := range 4 {
		for name, e := range contestants {
			change(t, e, round)
			began := time.Now()
			e.Must(t, "commit", "work", "made")
			if round > 0 { // the first one reads from the disk
				times[name] = append(times[name], time.Since(began))
			}
		}
	}
	median := medians(t, times)
	for _, ours := range []string{proxied, linked} {
		ratio := float64(median(walking)) / float64(median(ours))
		t.Logf("%s is %.1f times as fast as %s", ours, ratio, walking)
		if ratio < least {
			t.Errorf("expected is at least %v", least)
		}
	}
}

// medians logs what was measured, and returns the median of each.
func medians(t *testing.T, times map[string][]time.Duration) func(name string) time.Duration {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(times)) {
		slices.Sort(times[name])
		t.Logf("%-28s %v", name, times[name])
	}
	return func(name string) time.Duration { return times[name][len(times[name])/2] }
}

// TestUserNamespaceCost creates containers under --userns-remap of an image of few
// files and of one of many, on the fork, which maps ids by mounting or by a copy of
// the image, and on stock, in turns. On the fork the time must not follow the image.
func TestUserNamespaceCost(t *testing.T) {
	onlyForCost(t)
	stock := harness.UsernsConfig("", nil)
	stock.Flavor = stack.Stock
	contestants := map[string]*harness.Env{}
	for name, c := range map[string]stack.Config{"mounted": harness.UsernsConfig("", nil), "copied": harness.UsernsConfig("copy", nil), "stock": stock} {
		e := harness.Start(t, c)
		for _, files := range []int{1_000, 25_000} {
			image := baseimage.Generated{Name: fmt.Sprint("files-", files), Base: "busybox:latest", Files: files, Bytes: 32 << 20}
			if err := e.GenerateImage(t.Context(), image); err != nil {
				t.Fatal(err)
			}
		}
		contestants[name] = e
	}
	times := map[string][]time.Duration{}
	for round := range 4 {
		for name, e := range contestants {
			for _, image := range []string{"files-1000", "files-25000"} {
				began := time.Now()
				id := e.Must(t, "create", image)
				if round > 0 { // in the first one images are copied
					times[name+", "+image] = append(times[name+", "+image], time.Since(began))
				}
				e.Remove(t, id)
			}
		}
	}
	median := medians(t, times)
	for _, ours := range []string{"mounted", "copied"} {
		few, many := median(ours+", files-1000"), median(ours+", files-25000")
		t.Logf("%s: many files take %.2f times as long as few, and stock %.1f times as long as that", ours, float64(many)/float64(few), float64(median("stock, files-25000"))/float64(many))
		if many > 3*few {
			t.Errorf("%s: the time follows the image", ours)
		}
	}
}
