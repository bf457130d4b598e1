package integration_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestDifferCost has stock dockerd commit one small change on an image of many
// files, in turns with containerd's differ and with ours, in and beside
// containerd. Ours must take less than half the time of the walking one; it took
// an eighth and a fifteenth.
func TestDifferCost(t *testing.T) {
	if os.Getenv("BALEEN_COST") == "" {
		t.Skip("times are measured if BALEEN_COST is set: they are for a quiet machine")
	}
	const walking, proxied, linked = "containerd's walking differ", "baleen-containerd", "linked with containerd"
	contestants := map[string]*env{}
	for name, c := range map[string]stack.Config{
		walking: {},
		proxied: {Proxy: true},
		linked:  {ContainerdConfig: "[plugins.'io.containerd.service.v1.diff-service']\ndefault = ['baleen', 'walking']\n"},
	} {
		c.Flavor = stack.Stock
		e := newEnv(t, c)
		image := stack.GeneratedImage{Name: "large", Base: "busybox:latest", Files: 25_000, Bytes: 32 << 20}
		if err := e.GenerateImage(t.Context(), image); err != nil {
			t.Fatal(err)
		}
		contestants[name] = e
		e.run(t, "large", "true", "--name", "work")
	}
	times := map[string][]time.Duration{}
	for round := range 4 {
		for name, e := range contestants {
			e.docker(t, "exec", "work", "sh", "-c", fmt.Sprintf("echo %d > /data/0000/000001", round))
			began := time.Now()
			e.docker(t, "commit", "work", "made")
			if round > 0 { // the first one reads from the disk
				times[name] = append(times[name], time.Since(began))
			}
		}
	}
	for name, all := range times {
		slices.Sort(all)
		t.Logf("%-28s %v", name, all)
	}
	median := func(name string) time.Duration { return times[name][len(times[name])/2] }
	for _, ours := range []string{proxied, linked} {
		if ratio := float64(median(walking)) / float64(median(ours)); ratio < 2 {
			t.Errorf("%s is %.1f times as fast as %s", ours, ratio, walking)
		} else {
			t.Logf("%s is %.1f times as fast as %s", ours, ratio, walking)
		}
	}
}
