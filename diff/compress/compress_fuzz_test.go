package compress_test

import (
	"bytes"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/diff/compress"
)

func FuzzParseCompression(f *testing.F) {
	for _, text := range []string{"", "gzip", "gzip:9", "zstd:3", "none", "zstd:-1", "none:1", "gzip:01"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := compress.Parse(text)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if c.String() != text {
			t.Errorf("%q reads as %q", text, c.String())
		}
		var b bytes.Buffer
		w, err := compress.NewWriter(&b, c)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
