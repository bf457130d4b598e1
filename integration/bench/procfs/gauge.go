package procfs

import (
	"fmt"
	"os"
	"time"
)

// sampleEvery is how often memory is looked at where the kernel's own record of
// the peak cannot be reset.
const sampleEvery = 10 * time.Millisecond

// Gauge measures a running process.
type Gauge struct {
	pid      int
	before   Usage
	resident int64

	// sampled ends the sampling of memory and returns its peak; it is nil
	// where the kernel keeps the peak.
	sampled func() int64
}

// Start begins to measure. The caller must Stop it.
func Start(pid int) (*Gauge, error) {
	g := &Gauge{pid: pid}
	reset := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	var err error
	if g.resident, err = memory(pid, "VmRSS"); err != nil {
		return nil, err
	}
	if g.before, err = counters(pid); err != nil {
		return nil, err
	}
	if reset != nil {
		g.sampled = sampleMemory(pid)
	}
	return g, nil
}

// Stop returns what the process used since Start.
func (g *Gauge) Stop() (Usage, error) {
	after, err := counters(g.pid)
	if err != nil {
		return Usage{}, err
	}
	var peak int64
	if g.sampled != nil {
		peak = g.sampled()
	} else if peak, err = memory(g.pid, "VmHWM"); err != nil {
		return Usage{}, err
	}
	return Usage{
		CPU:        after.CPU - g.before.CPU,
		Peak:       peak,
		Growth:     max(0, peak-g.resident),
		ReadChars:  after.ReadChars - g.before.ReadChars,
		WriteChars: after.WriteChars - g.before.WriteChars,
		ReadBytes:  after.ReadBytes - g.before.ReadBytes,
		Calls:      after.Calls - g.before.Calls,
	}, nil
}

func sampleMemory(pid int) func() int64 {
	stop, peak := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		for {
			// One that cannot be read has ended, which Stop finds out.
			if now, err := memory(pid, "VmRSS"); err == nil {
				most = max(most, now)
			}
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(sampleEvery):
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-peak
	}
}
