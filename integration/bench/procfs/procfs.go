package procfs

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 everywhere.
const tick = 10 * time.Millisecond

// Usage is what a process used.
type Usage struct {
	// CPU is user and system time.
	CPU time.Duration `json:"cpuNanoseconds"`
	// Peak is the largest resident memory in bytes, and Growth by how much
	// that is more than at the beginning.
	Peak   int64 `json:"peakBytes"`
	Growth int64 `json:"growthBytes"`
	// ReadChars are the bytes that read calls returned and WriteChars those
	// that write calls took; ReadBytes came from a disk.
	ReadChars  int64 `json:"readChars"`
	WriteChars int64 `json:"writeChars"`
	ReadBytes  int64 `json:"readBytes"`
	// Calls are the read and write calls.
	Calls int64 `json:"calls"`
}

// Add is the usage of u and then v: times and bytes add up, memory is that of
// the larger one.
func (u Usage) Add(v Usage) Usage {
	return Usage{
		CPU:        u.CPU + v.CPU,
		Peak:       max(u.Peak, v.Peak),
		Growth:     max(u.Growth, v.Growth),
		ReadChars:  u.ReadChars + v.ReadChars,
		WriteChars: u.WriteChars + v.WriteChars,
		ReadBytes:  u.ReadBytes + v.ReadBytes,
		Calls:      u.Calls + v.Calls,
	}
}

func read(pid int, name string) ([]byte, error) {
	return os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
}

// parseCPU reads utime, stime, cutime and cstime from the text of a stat file.
func parseCPU(stat []byte) (time.Duration, error) {
	// The program's name, in brackets, may contain anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime, cstime = 11, 14 // counted from the state, which is field 3
	if len(fields) <= cstime {
		return 0, fmt.Errorf("stat has only %d fields after the name", len(fields))
	}
	var ticks int64
	for _, field := range fields[utime : cstime+1] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read times of stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// parseField reads a number from a file of lines such as "VmHWM:   1234 kB". It
// returns bytes.
func parseField(text []byte, name string) (int64, error) {
	for line := range strings.Lines(string(text)) {
		value, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		fields := strings.Fields(value)
		if len(fields) == 0 {
			break
		}
		n, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", name, err)
		}
		if len(fields) > 1 && fields[1] == "kB" {
			n *= 1024
		}
		return n, nil
	}
	return 0, fmt.Errorf("no %s in it", name)
}

// counters reads what only grows. Memory is left out.
func counters(pid int) (Usage, error) {
	stat, err := read(pid, "stat")
	if err != nil {
		return Usage{}, fmt.Errorf("read counters of process %d: %w", pid, err)
	}
	cpu, err := parseCPU(stat)
	if err != nil {
		return Usage{}, fmt.Errorf("read counters of process %d: %w", pid, err)
	}
	usage, err := readIO(pid)
	usage.CPU = cpu
	return usage, err
}

// readIO reads the bytes and calls only.
func readIO(pid int) (Usage, error) {
	var usage Usage
	text, err := read(pid, "io")
	if err == nil {
		usage.ReadChars, err = parseField(text, "rchar")
	}
	if err == nil {
		usage.WriteChars, err = parseField(text, "wchar")
	}
	if err == nil {
		usage.ReadBytes, err = parseField(text, "read_bytes")
	}
	for _, calls := range []string{"syscr", "syscw"} {
		var n int64
		if err == nil {
			n, err = parseField(text, calls)
			usage.Calls += n
		}
	}
	if err != nil {
		return Usage{}, fmt.Errorf("read bytes of process %d: %w", pid, err)
	}
	return usage, nil
}

// memory reads one of the lines of /proc/PID/status that count memory.
func memory(pid int, name string) (int64, error) {
	text, err := read(pid, "status")
	if err != nil {
		return 0, fmt.Errorf("read memory of process %d: %w", pid, err)
	}
	n, err := parseField(text, name)
	if err != nil {
		return 0, fmt.Errorf("read memory of process %d: %w", pid, err)
	}
	return n, nil
}
