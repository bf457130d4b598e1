package procfs

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestParseCPU(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		stat string
		want time.Duration
		err  bool
	}{
		"plain": {
			stat: "42 (dockerd) S 1 42 42 0 -1 4194560 100 200 0 0 7 5 2 1 20 0 12 0 100 0 0",
			want: 150 * time.Millisecond,
		},
		"name with brackets and blanks": {
			stat: "42 (a) b (c) R 1 42 42 0 -1 4194560 100 200 0 0 1 0 0 0 20 0",
			want: 10 * time.Millisecond,
		},
		"cut off":      {stat: "42 (a) R 1 42 42", err: true},
		"not a number": {stat: "42 (a) R 1 42 42 0 -1 4194560 100 200 0 0 x 0 0 0 20 0", err: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseCPU([]byte(test.stat))
			if got != test.want || (err != nil) != test.err {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestParseField(t *testing.T) {
	t.Parallel()
	const text = "Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\nrchar: 99\n"
	for name, want := range map[string]int64{"VmHWM": 1234 * 1024, "rchar": 99} {
		if got, err := parseField([]byte(text), name); got != want || err != nil {
			t.Errorf("%s: got %d, %v", name, got, err)
		}
	}
	for _, name := range []string{"Name", "VmRSS", "VmPeak"} {
		if _, err := parseField([]byte(text), name); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

func TestGaugeSeesWhatThisProcessDoes(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{"kernel's peak": false, "sampled": true}
	for name, sampled := range tests {
		t.Run(name, func(t *testing.T) {
			g, err := Start(os.Getpid())
			if err != nil {
				t.Fatal(err)
			}
			if sampled {
				g.sampled = sampleMemory(os.Getpid())
			}
			ballast := bytes.Repeat([]byte("whale"), 8<<20) // 40 MiB
			time.Sleep(3 * sampleEvery)
			file, err := os.Open("/proc/self/exe")
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			n, err := io.Copy(io.Discard, io.LimitReader(file, 1<<20))
			if err != nil {
				t.Fatal(err)
			}
			used, err := g.Stop()
			if err != nil {
				t.Fatal(err)
			}
			if used.ReadChars < n || used.Peak < int64(len(ballast)) {
				t.Errorf("read %d and held %d bytes, but the gauge says %+v", n, len(ballast), used)
			}
		})
	}
}

func TestRunCountsAProgram(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	took, used, err := Run(exec.Command("sh", "-c", "head -c 3145728 /dev/zero | cat >/dev/null; sleep 0.05"))
	if err != nil {
		t.Fatal(err)
	}
	if took < 50*time.Millisecond || used.Peak == 0 {
		t.Errorf("took %v, used %+v", took, used)
	}
	if used.ReadChars < 2*size {
		t.Errorf("head and cat read %d bytes each, but it says %d", size, used.ReadChars)
	}
	if _, _, err := Run(exec.Command("sh", "-c", "exit 3")); err == nil || !strings.Contains(err.Error(), "3") {
		t.Errorf("a failure gave %v", err)
	}
}
