package cost_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/bench/procfs"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestBlobCost commits files that cannot be compressed, BALEEN_COST megabytes of them or
// 1024, and says what that costs both daemons. containerd need not read the layer.
func TestBlobCost(t *testing.T) {
	onlyForCost(t)
	megabytes, err := strconv.Atoi(os.Getenv("BALEEN_COST"))
	if err != nil || megabytes < 16 {
		megabytes = 1024
	}
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", "true")
	for round := range 4 {
		e.Must(t, "exec", id, "dd", "if=/dev/urandom", "of=/big", "bs=1M", "count="+fmt.Sprint(megabytes))
		unix.Sync()
		gauges := map[stack.Daemon]*procfs.Gauge{}
		for _, d := range []stack.Daemon{stack.Dockerd, stack.Containerd} {
			if gauges[d], err = procfs.Start(e.Pid(d)); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		image := e.Must(t, "commit", id)
		took := time.Since(began)
		for _, d := range []stack.Daemon{stack.Dockerd, stack.Containerd} {
			used, err := gauges[d].Stop()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("round %d, %v: %s %v of a processor, %d MB read, %d MB written", round, took.Round(time.Millisecond), d, used.CPU, used.ReadChars>>20, used.WriteChars>>20)
			if d == stack.Containerd && used.ReadChars > int64(megabytes)<<20/8 {
				t.Errorf("containerd has read %d bytes", used.ReadChars)
			}
		}
		e.Must(t, "rmi", image)
	}
}
