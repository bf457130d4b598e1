package apply_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/internal/difftest"
)

func TestApplyDigestsToTheEnd(t *testing.T) {
	layer := append(difftest.LayerOf(t, difftest.Reg("a", "a")), bytes.Repeat([]byte("trailer "), 300_000)...)
	difftest.Apply(t, t.TempDir(), layer, apply.Options{})
	difftest.Apply(t, t.TempDir(), make([]byte, 1024), apply.Options{})
	difftest.Apply(t, t.TempDir(), nil, apply.Options{})
}

func TestApplyRefusesBrokenStreams(t *testing.T) {
	body := string(difftest.Mixed(3 << 20))
	whole := difftest.LayerOf(t, difftest.Reg("a", body), difftest.Reg("b", "b"))
	before := runtime.NumGoroutine()
	for name, stream := range map[string][]byte{
		"cut in content":  whole[:2<<20],
		"cut in a header": whole[:512+100],
		"not a tar":       []byte(strings.Repeat("whale ", 500)),
		"bad checksum":    append([]byte{'X'}, whole[1:]...),
	} {
		for _, c := range difftest.AllCompressions {
			_, _, err := apply.ToDir(t.Context(), bytes.NewReader(difftest.Pack(t, c, stream, 1<<20)), t.TempDir(), apply.Options{})
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%s, %s: %v", name, c, err)
			}
		}
	}
	for _, c := range difftest.AllCompressions[:4] {
		packed := difftest.Pack(t, c, whole, 1<<20)
		for name, stream := range map[string][]byte{
			"cut":         packed[:len(packed)/2],
			"end cut":     packed[:len(packed)-1],
			"magic only":  packed[:4],
			"bit flipped": flipped(packed),
		} {
			if _, _, err := apply.ToDir(t.Context(), bytes.NewReader(stream), t.TempDir(), apply.Options{}); !errdefs.IsInvalidArgument(err) {
				t.Errorf("%s, %s: %v", c, name, err)
			}
		}
	}
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i == 100 {
			t.Fatalf("%d goroutines are left of %d", runtime.NumGoroutine(), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 0x10
	return b
}

// endless gives a tar header of a huge file, and then zeros.
type endless struct {
	head  *bytes.Reader
	after func() error
}

func (e *endless) Read(p []byte) (int, error) {
	if e.head.Len() > 0 {
		return e.head.Read(p)
	}
	clear(p)
	return len(p), e.after()
}

func TestApplyStopsWithItsContextOrReader(t *testing.T) {
	var b bytes.Buffer
	difftest.Do(t, tar.NewWriter(&b).WriteHeader(&tar.Header{Name: "huge", Typeflag: tar.TypeReg, Size: 1 << 40}))
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, _, err := apply.ToDir(ctx, &endless{bytes.NewReader(b.Bytes()), func() error {
		if n++; n == 20 {
			cancel()
		}
		return nil
	}}, t.TempDir(), apply.Options{Limit: diff.Limit{Bytes: 2 << 40}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	broken := errors.New("line broken")
	_, _, err = apply.ToDir(t.Context(), &endless{bytes.NewReader(b.Bytes()), func() error { return broken }}, t.TempDir(), apply.Options{Limit: diff.Limit{Bytes: 2 << 40}})
	if !errors.Is(err, broken) || errdefs.IsInvalidArgument(err) {
		t.Errorf("broken: %v", err)
	}
}
